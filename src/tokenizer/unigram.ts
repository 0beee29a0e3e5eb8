import { FormatError } from "../tensor/error.ts";
import type { Encode } from "./bpe.ts";
import type { Model } from "./parts.ts";
import { Trie } from "./trie.ts";

/** How much worse than the worst token an unknown character is. */
const UNKNOWN_PENALTY = 10;

/**
 * Unigram: of all ways to cut a piece into tokens, the one whose scores add up to the most; of equal ones, the one found first
 * from the left. In steps proportional to the piece times the longest token. Sums are in float64, in the original's order.
 *
 * Errors: FormatError for an unknown token that the vocabulary lacks, here or for text that needs it.
 */
export function buildUnigram(
  file: string,
  { unk_id: unknown, byte_fallback }: Extract<Model, { type: "Unigram" }>,
  pieces: readonly (readonly [token: string, score: number])[],
): Encode {
  if (unknown !== undefined && unknown !== null && unknown >= pieces.length)
    throw new FormatError(`${file}: model.unk_id: got ${unknown}, expected an id below ${pieces.length}`);
  const trie = new Trie(pieces.length);
  const ids = new Map<string, number>();
  const scores = new Float64Array(pieces.length);
  let worst = Number.POSITIVE_INFINITY;
  for (const [id, [token, score]] of pieces.entries()) {
    trie.set(token, id);
    ids.set(token, id);
    scores[id] = score;
    worst = Math.min(worst, score);
  }
  const unknownScore = worst - UNKNOWN_PENALTY;
  const need = () => {
    if (unknown !== undefined && unknown !== null) return unknown;
    throw new FormatError(`${file}: model.unk_id: got none, expected an id; the text has characters without a token`);
  };
  const encoder = new TextEncoder();

  const add = (text: string, out: number[]) => {
    const id = ids.get(text);
    if (id !== undefined) return out.push(id);
    if (byte_fallback) {
      const bytes = Array.from(encoder.encode(text), (byte) =>
        ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
      );
      if (bytes.every((byte) => byte !== undefined)) {
        for (const byte of bytes) out.push(byte);
        return out.length;
      }
    }
    return out.push(need());
  };

  return (piece, out) => {
    const size = piece.length;
    // By end, the best way there: the token's id, where it begins, and the score of all up to there.
    const best = new Float64Array(size + 1);
    const start = new Int32Array(size + 1).fill(-1);
    const token = new Int32Array(size + 1);
    const offer = (from: number, end: number, id: number, score: number) => {
      if (start[end] !== -1 && score <= best[end]!) return;
      best[end] = score;
      start[end] = from;
      token[end] = id;
    };
    for (let from = 0; from < size; ) {
      const width = piece.codePointAt(from)! > 0xffff ? 2 : 1;
      let single = false;
      let node = 0;
      for (let end = from; end < size; ) {
        node = trie.step(node, piece.charCodeAt(end++));
        if (node < 0) break;
        const id = trie.value(node);
        if (id < 0) continue;
        offer(from, end, id, scores[id]! + best[from]!);
        if (end - from === width) single = true;
      }
      if (!single) offer(from, from + width, need(), unknownScore + best[from]!);
      from += width;
    }
    // From the end to the beginning; neighbours that are unknown become one.
    const found: string[] = [];
    for (let end = size; end > 0; ) {
      let from = start[end]!;
      if (token[end] === unknown) while (from > 0 && token[from] === unknown) from = start[from]!;
      found.push(piece.slice(from, end));
      end = from;
    }
    for (const text of found.reverse()) add(text, out);
  };
}
