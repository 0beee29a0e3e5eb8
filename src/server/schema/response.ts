import { z } from "@hono/zod-openapi";
import { cost } from "./answer.ts";
import { definition, json, structuredOutputs } from "./calling.ts";
import { harmless, limits, model, sampling } from "./sampling.ts";

const seen = {
  id: z.string().max(256).nullish(),
  status: z.enum(["in_progress", "completed", "incomplete"]).nullish(),
};

const given = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("input_text"), text: z.string() }),
    z.strictObject({
      type: z.literal("output_text"),
      text: z.string(),
      annotations: z.array(json).max(0).optional(),
      logprobs: z.array(json).nullish(),
    }),
  ],
  { error: "expected input_text or output_text; models here read nothing else" },
);

const content = z.union([z.string(), z.array(given)]);

const message = z.strictObject({
  ...seen,
  type: z.literal("message").optional(),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content,
});

const call = z.strictObject({
  ...seen,
  type: z.literal("function_call"),
  call_id: z.string().max(256),
  name: z.string().max(256),
  arguments: z.string(),
});

const result = z.strictObject({
  ...seen,
  type: z.literal("function_call_output"),
  call_id: z.string().max(256),
  output: content,
});

const thought = z.strictObject({
  ...seen,
  type: z.literal("reasoning"),
  summary: z.array(z.strictObject({ type: z.literal("summary_text"), text: z.string() })).optional(),
  content: z.array(z.strictObject({ type: z.literal("reasoning_text"), text: z.string() })).nullish(),
  encrypted_content: z.null().optional(),
});

/** An item that says its type, or a message, which need not. */
const item = z.union([
  message,
  z.discriminatedUnion("type", [call, result, thought], {
    error: "expected message, function_call, function_call_output or reasoning",
  }),
]);

export type Item = z.infer<typeof item>;

const format = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      name: z.string().max(64).optional(),
      description: z.string().nullish(),
      schema: json,
      strict: z.boolean().nullish().describe("the schema holds in any case"),
    }),
  ],
  { error: "expected text, json_object or json_schema" },
);

const { n: _, stream_options: __, ...drawn } = sampling;

/** POST /v1/responses. */
export const responseBody = z
  .strictObject({
    model,
    input: z
      .union([z.string(), z.array(item).min(1).max(limits.messages)])
      .describe("a text of the user's, or the conversation so far"),
    instructions: z.string().optional().describe("what the model is told before the conversation"),
    max_output_tokens: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional()
      .describe("most tokens to write, thoughts included"),
    tools: z
      .array(
        z.discriminatedUnion("type", [definition.extend({ type: z.literal("function") })], {
          error: "expected function; there are no other tools",
        }),
      )
      .max(limits.tools)
      .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, "expected names that differ")
      .optional(),
    tool_choice: z
      .union([
        z.enum(["none", "auto", "required"]),
        z.strictObject({ type: z.literal("function"), name: definition.shape.name }),
      ])
      .optional(),
    parallel_tool_calls: z.boolean().optional().describe("false: an answer has one call at most; true unless given"),
    text: z.strictObject({ format: format.optional() }).optional().describe("format: what an answer must look like"),
    reasoning: z
      .strictObject({
        effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]).nullish(),
        summary: z.null().optional(),
      })
      .optional()
      .describe("effort: as reasoning_effort"),
    chat_template_kwargs: json.optional().describe("values that the model's template reads, such as enable_thinking"),
    include: z
      .array(z.enum(["message.output_text.logprobs", "reasoning.encrypted_content"]))
      .max(8)
      .optional()
      .describe(
        "log probabilities of an answer's tokens; thoughts are never encrypted, so that there is nothing else to include",
      ),
    top_logprobs: z
      .int()
      .min(0)
      .max(limits.likeliest)
      .optional()
      .describe("and so many of the likeliest in each one's place"),
    structured_outputs: structuredOutputs.optional(),
    background: z.literal(false).optional().describe("an answer comes to whoever asks for it"),
    truncation: z.literal("disabled").optional().describe("what is longer than the context is refused"),
    stream_options: z.strictObject({ include_obfuscation: z.literal(false).optional() }).optional(),
    ...drawn,
    ...harmless,
  })
  .openapi("ResponseRequest");

export type ResponseBody = z.infer<typeof responseBody>;

const part = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("output_text"),
    text: z.string(),
    annotations: z.array(json),
    logprobs: z.array(json),
  }),
  z.strictObject({ type: z.literal("reasoning_text"), text: z.string() }),
]);
const output = z.object({
  id: z.string(),
  type: z.enum(["message", "reasoning", "function_call"]),
  status: z.enum(["in_progress", "completed", "incomplete"]),
  content: z.array(part).optional(),
  call_id: z.string().optional(),
  name: z.string().optional(),
  arguments: z.string().optional(),
});

export const responseAnswer = z
  .looseObject({
    id: z.string(),
    object: z.literal("response"),
    created_at: z.int(),
    status: z.enum(["in_progress", "completed", "incomplete", "failed"]),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.strictObject({ reason: z.literal("max_output_tokens") }).nullable(),
    model: z.string(),
    output: z.array(output),
    usage: z
      .strictObject({
        input_tokens: z.int(),
        input_tokens_details: z.strictObject({ cached_tokens: z.int() }),
        output_tokens: z.int(),
        output_tokens_details: z.strictObject({ reasoning_tokens: z.int() }),
        total_tokens: z.int(),
      })
      .nullable(),
    biform: cost.optional(),
  })
  .openapi("ResponseAnswer");

export const responseEvent = z
  .looseObject({
    type: z.enum([
      ...(["created", "in_progress", "completed", "incomplete", "failed"] as const).map(
        (name) => `response.${name}` as const,
      ),
      ...(["output_item.added", "output_item.done", "content_part.added", "content_part.done"] as const).map(
        (name) => `response.${name}` as const,
      ),
      ...(["output_text", "reasoning_text", "function_call_arguments"] as const).flatMap(
        (name) => [`response.${name}.delta`, `response.${name}.done`] as const,
      ),
    ]),
    sequence_number: z.int(),
    response: responseAnswer.optional(),
    output_index: z.int().optional(),
    item_id: z.string().optional(),
    content_index: z.int().optional(),
    delta: z.string().optional(),
  })
  .openapi("ResponseEvent");
