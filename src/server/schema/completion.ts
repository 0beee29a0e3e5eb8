import { z } from "@hono/zod-openapi";
import { harmless, limits, model, sampling } from "./sampling.ts";

const ids = z
  .array(
    z
      .int()
      .min(0)
      .max(2 ** 31 - 1),
  )
  .min(1);
const text = z.string();

/** POST /v1/completions. */
export const completionBody = z
  .strictObject({
    model,
    prompt: z
      .union([text, ids, z.array(text).min(1).max(limits.prompts), z.array(ids).min(1).max(limits.prompts)])
      .describe("text, token ids, or a list of either; text gets the tokenizer's special tokens around it"),
    max_tokens: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .optional()
      .describe("most tokens to write, 16 unless given; 0 reads the prompt alone"),
    echo: z.boolean().optional().describe("the prompt before its answer, with logprobs where they are asked for"),
    logprobs: z
      .int()
      .min(0)
      .max(limits.likeliest)
      .optional()
      .describe("log probabilities of each token, and of so many of the likeliest in its place"),
    add_special_tokens: z.boolean().optional().describe("false puts no special tokens around a text (vLLM)"),
    ...sampling,
    ...harmless,
  })
  .openapi("CompletionRequest");

export type CompletionBody = z.infer<typeof completionBody>;
