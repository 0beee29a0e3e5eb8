import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { Problem } from "./errors.ts";
import type { Served } from "./served.ts";

/** Bytes of the longest token of a tokenizer, found when they are first asked for. */
const lengths = new WeakMap<Tokenizer, number>();

/**
 * A text's ids: with `around` the special tokens that stand around a text, too. A text that is too long for the context whatever its
 * tokens are is refused before it is cut into them, which holds up everybody else. Throws Problem naming `param`.
 */
export function encodeText(
  { context, name }: Pick<Served, "context" | "name">,
  tokenizer: Tokenizer,
  text: string,
  { param, around }: { readonly param: string; readonly around: boolean },
): Int32Array {
  if (text.length > context && text.length > context * longestOf(tokenizer))
    throw new Problem(
      400,
      `${param}: got ${text.length} characters, expected at most ${context * longestOf(tokenizer)}: ${name} has a context of ${context} tokens, ` +
        `of which none has more than ${longestOf(tokenizer)} bytes; shorten it`,
      { param, code: "context_length_exceeded" },
    );
  return around ? tokenizer.prompt(text) : tokenizer.encode(text);
}

function longestOf(tokenizer: Tokenizer): number {
  let longest = lengths.get(tokenizer) ?? 0;
  if (longest) return longest;
  for (let id = 0; id < tokenizer.vocabulary; id++) longest = Math.max(longest, tokenizer.piece(id).length);
  lengths.set(tokenizer, longest);
  return longest;
}
