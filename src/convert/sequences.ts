import type { Opened } from "../checkpoint/open.ts";
import { tokenizerBeside } from "../generate/beside.ts";
import { FormatError } from "../tensor/error.ts";

/** A text that a checkpoint reads: so many tokens of it, in sequences of that length. */
export interface Passage {
  readonly opened: Opened;
  readonly path: string;
  readonly text: string | undefined;
  readonly tokens: number;
  readonly length: number;
}

/** The first ids of a text as sequences of `length`: `tokens` in all, or fewer where the text ends. */
export function cutIds(ids: Int32Array, tokens: number, length: number): Int32Array[] {
  const count = Math.floor(Math.min(tokens, ids.length) / length);
  return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
}

/** The text's first ids as sequences. Throws FormatError where there are none. */
export async function sequencesOf({ opened, path, text, tokens, length }: Passage): Promise<Int32Array[]> {
  const tokenizer = await tokenizerBeside(opened);
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  // No token is longer than some letters: what is certain to be behind the last is not looked at.
  const ids = tokenizer.encode(text!.slice(0, 24 * tokens));
  const sequences = cutIds(ids, tokens, length);
  if (!sequences.length)
    throw new FormatError(`text: got fewer than ${length} tokens, expected at least so many; give more`);
  const odd = ids.findIndex((id) => id >= opened.model.vocabulary);
  if (odd >= 0)
    throw new FormatError(
      `${path}: got the token ${ids[odd]}, expected one below ${opened.model.vocabulary}, the rows of the embedding; tokenizer and weights do not belong together`,
    );
  return sequences;
}
