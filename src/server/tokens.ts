import type { Context } from "hono";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkIds } from "./ask.ts";
import { readBody } from "./body.ts";
import { Problem } from "./errors.ts";
import type { Env } from "./guard.ts";
import { type Hall, useModel } from "./hall.ts";
import { promptOf } from "./prompt.ts";
import { detokenizeBody, tokenizeBody } from "./schema/tokens.ts";
import type { Served } from "./served.ts";
import { spellerOf } from "./spell.ts";

/** POST /tokenize. */
export async function tokenize(c: Context<Env>, hall: Hall): Promise<Response> {
  const body = await readBody(c, tokenizeBody);
  return useModel(hall, body.model, async (served) => {
    const tokenizer = tokenizerOf(served);
    const { add_special_tokens: around = true } = "prompt" in body ? body : {};
    const ids =
      "messages" in body
        ? (await promptOf(served, body)).ids
        : around
          ? tokenizer.prompt(body.prompt)
          : tokenizer.encode(body.prompt);
    const tokens = [...ids];
    const spell = spellerOf(tokenizer);
    const token_strs = body.return_token_strs ? tokens.map((id) => spell.text(id)) : null;
    return c.json({ count: tokens.length, max_model_len: served.context, tokens, token_strs });
  });
}

/** GET /tokenizer_info: what a client that renders and cuts text by itself has to know (vLLM, lm-eval). */
export function tokenizerInfo(c: Context<Env>, hall: Hall): Promise<Response> {
  return useModel(hall, c.req.query("model"), async (served) => {
    tokenizerOf(served);
    const names = Object.fromEntries(
      ["bos_token", "eos_token", "pad_token"].map((name) => [name, served.tokens[name] ?? null]),
    );
    return c.json({ ...names, chat_template: served.template?.source ?? null });
  });
}

/** POST /detokenize. */
export async function detokenize(c: Context<Env>, hall: Hall): Promise<Response> {
  const { model, tokens } = await readBody(c, detokenizeBody);
  return useModel(hall, model, async (served) => {
    const tokenizer = tokenizerOf(served);
    checkIds(served, tokens, "tokens");
    return c.json({ prompt: tokenizer.decode(tokens.filter((id) => id < tokenizer.vocabulary)) });
  });
}

function tokenizerOf({ tokenizer, name }: Served): Tokenizer {
  if (!tokenizer)
    throw new Problem(400, `model: got ${name}, which has no tokenizer, expected one with it`, { param: "model" });
  return tokenizer;
}
