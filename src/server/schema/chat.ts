import { z } from "@hono/zod-openapi";
import { json, responseFormat, structuredOutputs, toolChoice, tools } from "./calling.ts";
import { harmless, limits, model, sampling } from "./sampling.ts";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });
const parts = z.array(
  z.discriminatedUnion("type", [textPart], { error: "expected text; models here read nothing else" }),
);
const content = z.union([z.string(), parts]);
const name = z.string().max(256).optional().describe("who it is, for templates that write it");

const call = z.strictObject({
  id: z.string().max(256),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string().max(256), arguments: z.string() }),
});

export const message = z
  .discriminatedUnion(
    "role",
    [
      z.strictObject({ role: z.enum(["system", "developer", "user"]), content, name }),
      z.strictObject({
        role: z.literal("assistant"),
        content: content.nullish(),
        name,
        refusal: z.string().nullish().describe("what it said where that was a refusal, in place of content"),
        reasoning_content: z.string().nullish().describe("what the model thought, where its template reads it"),
        tool_calls: z.array(call).max(limits.tools).nullish(),
      }),
      z.strictObject({ role: z.literal("tool"), content, tool_call_id: z.string().max(256), name }),
    ],
    { error: "expected system, developer, user, assistant or tool" },
  )
  .openapi("Message");

export type ChatMessage = z.infer<typeof message>;

/** POST /v1/chat/completions. */
export const chatBody = z
  .strictObject({
    model,
    messages: z.array(message).min(1).max(limits.messages).describe("the conversation so far"),
    max_completion_tokens: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional()
      .describe("most tokens to write, thoughts included; what the context has room for unless given"),
    max_tokens: z
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .optional()
      .describe("the older name of max_completion_tokens"),
    logprobs: z.boolean().optional().describe("log probabilities of the tokens written"),
    top_logprobs: z
      .int()
      .min(0)
      .max(limits.likeliest)
      .optional()
      .describe("and of so many of the likeliest in each one's place"),
    tools: tools.optional().describe("functions that the model may call, written into the prompt by its template"),
    tool_choice: toolChoice.optional().describe("none: as if there were no tools"),
    parallel_tool_calls: z.boolean().optional().describe("false: an answer has one call at most; true unless given"),
    reasoning_effort: z
      .enum(["none", "minimal", "low", "medium", "high", "xhigh"])
      .optional()
      .describe("for templates that know it; none turns thoughts off where a template has a switch for them"),
    chat_template_kwargs: json.optional().describe("values that the model's template reads, such as enable_thinking"),
    response_format: responseFormat.optional().describe("what an answer must look like: its tokens follow the schema"),
    structured_outputs: structuredOutputs.optional().describe("the same by json, regex, choice or grammar (vLLM)"),
    modalities: z
      .tuple([z.literal("text")], 'expected ["text"]')
      .optional()
      .describe("text is all that is written"),
    ...sampling,
    ...harmless,
  })
  .openapi("ChatRequest");

export type ChatBody = z.infer<typeof chatBody>;
