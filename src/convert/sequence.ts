import { type LoadedModel, load } from "../generate/load.ts";
import { FormatError } from "../tensor/error.ts";

/** A text that a checkpoint reads, and what is known of it. */
interface Read {
  readonly path: string;
  readonly threads: number | undefined;
  readonly text: string;
  readonly tokens: number;
  readonly length: number;
  readonly seen: Map<string, unknown>;
}

/** Finds out about a text, each thing once. The model is loaded for the first that is not known yet, and closed by `close`. */
export function lookerAt({ path, threads, text, tokens, length, seen }: Read) {
  let loaded: LoadedModel | undefined;
  return {
    async look<T>(what: string, at: (loaded: LoadedModel, sequences: Int32Array[]) => Promise<T>): Promise<T> {
      const key = `${what}, ${tokens} by ${length} of ${text}`;
      if (!seen.has(key)) {
        loaded ??= await load(path, { threads });
        seen.set(key, await at(loaded, textOf(loaded, text, tokens, length)));
      }
      return seen.get(key) as T;
    },
    close: () => loaded?.close(),
  };
}

/** The first ids of a text as sequences of `length`: `tokens` in all, or fewer where the text ends. */
export function cutIds(ids: Int32Array, tokens: number, length: number): Int32Array[] {
  const count = Math.floor(Math.min(tokens, ids.length) / length);
  return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
}

/** The text's first ids as sequences. Throws FormatError where there are none. */
export function textOf({ tokenizer, path }: LoadedModel, text: string, tokens: number, length: number): Int32Array[] {
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  // No token is longer than some letters: what is certain to be behind the last is not looked at.
  const sequences = cutIds(tokenizer.encode(text.slice(0, 24 * tokens)), tokens, length);
  if (!sequences.length)
    throw new FormatError(`text: got fewer than ${length} tokens, expected at least so many; give more`);
  return sequences;
}
