import { z } from "@hono/zod-openapi";
import type { Reasons } from "../body.ts";

/** Counts that bound what one request can cost before it is run. */
export const limits = {
  /** Answers to one prompt. */
  n: 16,
  stops: 16,
  stopLength: 256,
  biases: 1024,
  likeliest: 20,
  messages: 4096,
  tools: 128,
  prompts: 256,
  grammar: 100_000,
  /** Characters of a text that is cut into tokens whatever the context: about a second, in which nobody else is answered. */
  text: 4_000_000,
} as const;

const accepted = "accepted, since clients send it; it changes nothing";
const id = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);

/** How tokens are drawn and when they end: keys of chat and completions, named as OpenAI's API and vLLM name them. */
export const sampling = {
  temperature: z
    .number()
    .min(0)
    .max(2)
    .optional()
    .describe("0 takes the likeliest token; the model's own, or 1, unless given"),
  top_p: z.number().gt(0).max(1).optional().describe("only the fewest likeliest tokens of this probability together"),
  top_k: z
    .int()
    .min(-1)
    .max(2 ** 31 - 1)
    .optional()
    .describe("only the k likeliest tokens; 0 or -1: all"),
  min_p: z.number().min(0).max(1).optional().describe("only tokens of this share of the likeliest one's probability"),
  repetition_penalty: z.number().gt(0).max(100).optional().describe("divides the logits of tokens seen; 1: none"),
  presence_penalty: z
    .number()
    .min(-2)
    .max(2)
    .optional()
    .describe("taken from the logit of each token that was written"),
  frequency_penalty: z
    .number()
    .min(-2)
    .max(2)
    .optional()
    .describe("taken from a token's logit as often as it was written"),
  logit_bias: z
    .record(z.string().regex(/^\d{1,10}$/, "a token id"), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= limits.biases, `expected at most ${limits.biases} ids`)
    .optional()
    .describe("added to logits, by token id"),
  seed: z
    .int()
    .optional()
    .describe(
      "the same seed and request write the same text where the same is cached and runs beside them, else to the rounding of activations; answer i of n has seed + i; random unless given",
    ),
  stop: z
    .union([
      z.string().min(1).max(limits.stopLength),
      z.array(z.string().min(1).max(limits.stopLength)).max(limits.stops),
    ])
    .optional()
    .describe("the text ends before the first of these"),
  stop_token_ids: z
    .array(id)
    .max(limits.stops)
    .optional()
    .describe("tokens that end the text beside the model's own (vLLM)"),
  ignore_eos: z.boolean().optional().describe("the model's end tokens end nothing (vLLM)"),
  skip_special_tokens: z.boolean().optional().describe("false shows special tokens in the text (vLLM)"),
  n: z.int().min(1).max(limits.n).optional().describe("answers, each drawn by itself"),
  stream: z.boolean().optional().describe("server-sent events, each as soon as there is text for it"),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().optional().describe("a chunk with usage before the end"),
      include_obfuscation: z.literal(false).optional().describe("there is none to include"),
    })
    .optional()
    .describe("include_usage: a chunk with usage before the end"),
  cache_salt: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe("shares cached prefixes with requests of the same salt alone (vLLM)"),
} as const;

export type Shared = z.infer<z.ZodObject<typeof sampling>>;

/** Keys that clients always send and that change nothing: what they say of who asks, and what already is as they want it. */
export const harmless = {
  user: z.string().max(1024).optional().describe(accepted),
  safety_identifier: z.string().max(1024).optional().describe(accepted),
  prompt_cache_key: z.string().max(1024).optional().describe(accepted),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((given) => Object.keys(given).length <= 16, "expected at most 16 keys")
    .optional()
    .describe(accepted),
  service_tier: z.enum(["auto", "default"]).optional().describe(accepted),
  store: z.literal(false).optional().describe("nothing is stored"),
} as const;

export const model = z
  .string()
  .min(1)
  .max(512)
  .optional()
  .describe("one of /v1/models; may be left out where there is one alone");

/** Why keys that clients know are not taken. */
export const unsupported: Reasons = {
  best_of: "ask for n answers instead",
  suffix: "the models here write on, they fill no gaps",
  min_tokens: "give ignore_eos or stop_token_ids",
  use_beam_search: "there is no beam search",
  functions: "give tools",
  function_call: "give tool_choice",
  audio: "text alone is written",
  prediction: "there is no speculative decoding by predicted text",
  web_search_options: "nothing here searches",
  prompt_logprobs: "/v1/completions with echo and logprobs has them",
  prompt_embeds: "give text or token ids",
};
