import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { WHOLE, walk } from "./utf8.ts";

/** The bytes of a vocabulary, in memory that threads share. */
export interface Vocabulary {
  readonly bytes: Uint8Array;
  /** Where each token ends in `bytes`. */
  readonly ends: Uint32Array;
  /** Tokens that begin or end within a character: the library does not see that some bytes are none together. */
  readonly parts: readonly number[];
}

/** The bytes of a token; none for an id that no token has. */
export function pieceOf({ bytes, ends }: Pick<Vocabulary, "bytes" | "ends">, id: number): Uint8Array {
  return bytes.subarray(id ? ends[id - 1] : 0, ends[id] ?? 0);
}

/**
 * What each token adds to a text. Special tokens add nothing, but for those in `marks`, which are their names: none of the others
 * can follow within a grammar.
 */
export function packVocabulary(tokenizer: Tokenizer, marks: ReadonlySet<number>): Vocabulary {
  const pieces = Array.from({ length: tokenizer.vocabulary }, (_, id) =>
    tokenizer.special.has(id) && !marks.has(id) ? new Uint8Array() : tokenizer.piece(id),
  );
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  const ends = new Uint32Array(new SharedArrayBuffer(4 * pieces.length));
  let at = 0;
  for (const [id, piece] of pieces.entries()) {
    bytes.set(piece, at);
    at += piece.length;
    ends[id] = at;
  }
  const parts = pieces.flatMap((piece, id) => (walk(WHOLE, piece) === WHOLE ? [] : [id]));
  return { bytes, ends, parts };
}
