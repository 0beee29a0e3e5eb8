import { z } from "@hono/zod-openapi";
import { message } from "./chat.ts";
import { limits, model } from "./sampling.ts";

/** POST /tokenize, of a text or of a conversation, as vLLM has it. */
export const tokenizeBody = z
  .union([
    z.strictObject({
      model,
      prompt: z.string().max(limits.text),
      add_special_tokens: z.boolean().optional().describe("false puts no special tokens around the text"),
      return_token_strs: z.boolean().optional().describe("each token's text as well"),
    }),
    z.strictObject({
      model,
      messages: z.array(message).min(1).max(limits.messages),
      return_token_strs: z.boolean().optional(),
    }),
  ])
  .openapi("TokenizeRequest");

export const tokenizeAnswer = z
  .object({
    count: z.int(),
    max_model_len: z.int(),
    tokens: z.array(z.int()),
    token_strs: z.array(z.string()).nullable(),
  })
  .openapi("TokenizeAnswer");

/** GET /tokenizer_info. */
export const tokenizerAnswer = z
  .object({
    bos_token: z.string().nullable(),
    eos_token: z.string().nullable(),
    pad_token: z.string().nullable(),
    chat_template: z.string().nullable(),
  })
  .openapi("TokenizerInfo");

/** POST /detokenize. */
export const detokenizeBody = z
  .strictObject({
    model,
    tokens: z.array(
      z
        .int()
        .min(0)
        .max(2 ** 31 - 1),
    ),
  })
  .openapi("DetokenizeRequest");

export const detokenizeAnswer = z.object({ prompt: z.string() }).openapi("DetokenizeAnswer");
