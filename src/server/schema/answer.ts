import { z } from "@hono/zod-openapi";

/** What a request cost here, beside OpenAI's own fields; sums over its answers, and the longest of their times. */
export const cost = z
  .strictObject({
    prompt_tokens_per_second: z
      .number()
      .nullable()
      .describe("tokens of the prompt that were run in a second, cached ones left out"),
    tokens_per_second: z
      .number()
      .nullable()
      .describe("tokens written in a second, from the first on; null for one alone"),
    seconds: z
      .strictObject({ waited: z.number(), first: z.number(), writing: z.number() })
      .describe("in the queue, from there to the first token, and from there to the last"),
    cached_tokens: z.int().describe("tokens of the prompt whose cache was there already"),
    cache_bytes: z.int().describe("bytes of cache that the sequences held, shared ones included"),
    forms: z.record(z.string(), z.int()).describe("tokens times layers that ran in each form of attention"),
  })
  .openapi("Cost");

export const usage = z
  .strictObject({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.strictObject({ cached_tokens: z.int() }),
    completion_tokens_details: z
      .strictObject({ reasoning_tokens: z.int().describe("written up to the last of the thoughts") })
      .optional(),
  })
  .openapi("Usage");

export const failure = z
  .strictObject({
    error: z.strictObject({
      message: z.string(),
      type: z.enum(["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]),
      param: z.string().nullable().describe("the parameter at fault"),
      code: z.string().nullable().describe("a word that programs tell it by"),
    }),
  })
  .openapi("Error");

const head = { id: z.string(), created: z.int(), model: z.string(), system_fingerprint: z.string() };
const finish = z.enum(["stop", "length", "tool_calls"]);

const likelihood = { token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() };
const logprobs = z
  .strictObject({
    content: z.array(z.strictObject({ ...likelihood, top_logprobs: z.array(z.strictObject(likelihood)) })),
    refusal: z.null(),
  })
  .openapi("ChatLogprobs");

const call = {
  id: z.string(),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
};

export const chatAnswer = z
  .strictObject({
    ...head,
    object: z.literal("chat.completion"),
    choices: z.array(
      z.strictObject({
        index: z.int(),
        message: z.strictObject({
          role: z.literal("assistant"),
          content: z.string().nullable(),
          reasoning_content: z.string().optional().describe("what the model thought"),
          refusal: z.null(),
          tool_calls: z.array(z.strictObject(call)).optional(),
        }),
        logprobs: logprobs.nullable(),
        finish_reason: finish,
      }),
    ),
    usage,
    biform: cost,
  })
  .openapi("ChatAnswer");

export const chatChunk = z
  .strictObject({
    ...head,
    object: z.literal("chat.completion.chunk"),
    choices: z.array(
      z.strictObject({
        index: z.int(),
        delta: z.strictObject({
          role: z.literal("assistant").optional(),
          content: z.string().nullable().optional(),
          reasoning_content: z.string().optional(),
          tool_calls: z.array(z.strictObject({ index: z.int(), ...call })).optional(),
        }),
        logprobs: logprobs.nullable(),
        finish_reason: finish.nullable(),
      }),
    ),
    usage: usage.nullable().optional(),
    biform: cost.optional().describe("beside an answer's finish_reason, and in the chunk with usage"),
  })
  .openapi("ChatChunk");

const legacy = z
  .strictObject({
    tokens: z.array(z.string()),
    token_logprobs: z
      .array(z.number().nullable())
      .describe("null for the first token of a prompt, before which there is nothing"),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(z.int()),
  })
  .openapi("CompletionLogprobs");

const completion = {
  ...head,
  object: z.literal("text_completion"),
};
const choice = { text: z.string(), index: z.int(), logprobs: legacy.nullable() };

export const completionAnswer = z
  .strictObject({
    ...completion,
    choices: z.array(z.strictObject({ ...choice, finish_reason: z.enum(["stop", "length"]) })),
    usage,
    biform: cost,
  })
  .openapi("CompletionAnswer");

export const completionChunk = z
  .strictObject({
    ...completion,
    choices: z.array(z.strictObject({ ...choice, finish_reason: z.enum(["stop", "length"]).nullable() })),
    usage: usage.nullable().optional(),
    biform: cost.optional(),
  })
  .openapi("CompletionChunk");

export const modelCard = z
  .strictObject({
    id: z.string(),
    object: z.literal("model"),
    created: z.int(),
    owned_by: z.literal("biform"),
    max_model_len: z.int().optional().describe("tokens of prompt and answer together, where the model is loaded"),
    biform: z.strictObject({ loaded: z.boolean(), bytes: z.int(), context: z.int().nullable() }),
  })
  .openapi("Model");

export const modelList = z.strictObject({ object: z.literal("list"), data: z.array(modelCard) }).openapi("ModelList");
