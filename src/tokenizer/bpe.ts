import { FormatError } from "../tensor/error.ts";
import { Pairs } from "./pairs.ts";
import type { Model } from "./parts.ts";

/** Turns a piece of text into ids, which it adds to a list. */
export type Encode = (piece: string, ids: number[]) => void;

/** Two tokens that become one; earlier ones go first. */
export type Merge = readonly [left: string, right: string];

type Settings = Extract<Model, { type: "BPE" }>;

/**
 * Byte pair encoding: of all neighbours that a merge knows, the earliest merge is made first, and of equal ones the one to the
 * left, until there are none. With a heap, in n log n steps for a piece of n characters.
 *
 * Errors: FormatError for a merge of tokens, or into one, that the vocabulary lacks.
 */
export function buildBpe(
  file: string,
  settings: Settings,
  vocab: ReadonlyMap<string, number>,
  merges: Iterable<Merge>,
  count: number,
): Encode {
  const ranks = new Pairs(count);
  const made: number[] = [];
  const prefix = settings.continuing_subword_prefix ?? "";
  for (const [left, right] of merges) {
    const [a, b, whole] = [vocab.get(left), vocab.get(right), vocab.get(left + cut(right, prefix))];
    if (a === undefined || b === undefined || whole === undefined)
      throw new FormatError(
        `${file}: model.merges: got ${JSON.stringify([left, right]).slice(0, 80)} at ${made.length}, expected two tokens that are one in the vocabulary`,
      );
    ranks.set(a, b, made.length);
    made.push(whole);
  }
  const symbols = symbolsOf(file, settings, vocab);
  return (piece, ids) => {
    const whole = settings.ignore_merges ? vocab.get(piece) : undefined;
    if (whole === undefined) mergeAll(symbols(piece), ranks, made, ids);
    else ids.push(whole);
  };
}

/** A right part without the prefix that it has inside of words: as many bytes less, whatever they are. */
function cut(right: string, prefix: string): string {
  if (right.startsWith(prefix)) return right.slice(prefix.length);
  const bytes = new TextEncoder().encode(right);
  return new TextDecoder().decode(bytes.subarray(new TextEncoder().encode(prefix).length));
}

/** What a piece is before anything is merged: its characters' tokens, bytes or the unknown token for those that have none. */
function symbolsOf(file: string, settings: Settings, vocab: ReadonlyMap<string, number>): (piece: string) => number[] {
  const { unk_token, fuse_unk, byte_fallback } = settings;
  const [prefix, suffix] = [settings.continuing_subword_prefix ?? "", settings.end_of_word_suffix ?? ""];
  const bytes = byte_fallback
    ? Array.from({ length: 256 }, (_, byte) => vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`))
    : [];
  const unknown = unk_token === undefined || unk_token === null ? undefined : vocab.get(unk_token);
  const encoder = new TextEncoder();
  return (piece) => {
    const found: number[] = [];
    let waits = false;
    for (let at = 0; at < piece.length; ) {
      const end = at + (piece.codePointAt(at)! > 0xffff ? 2 : 1);
      const token = `${at ? prefix : ""}${piece.slice(at, end)}${end === piece.length ? suffix : ""}`;
      at = end;
      const id = vocab.get(token);
      if (id !== undefined) {
        if (waits) found.push(unknown!);
        waits = false;
        found.push(id);
        continue;
      }
      if (byte_fallback) {
        const all = Array.from(encoder.encode(token), (byte) => bytes[byte]);
        if (all.every((byte) => byte !== undefined)) {
          // An unknown token before them waits on: the original puts it after the bytes.
          found.push(...all);
          continue;
        }
      }
      // Without an unknown token, what has no token is left out, as the original does.
      if (unk_token === undefined || unk_token === null) continue;
      if (unknown === undefined)
        throw new FormatError(
          `${file}: model.unk_token: got ${JSON.stringify(unk_token)}, expected a token of the vocabulary; the text has characters without one`,
        );
      if (waits && !fuse_unk) found.push(unknown);
      waits = true;
    }
    if (waits) found.push(unknown!);
    return found;
  };
}

/** Merges symbols in the order of their ranks, and adds what is left to `ids`. */
function mergeAll(symbols: number[], ranks: Pairs, made: readonly number[], ids: number[]): void {
  const count = symbols.length;
  if (count < 2) {
    for (const id of symbols) ids.push(id);
    return;
  }
  // Symbols as a list with both neighbours; one that is gone is -1.
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  const heap: number[] = [];
  const offer = (at: number) => {
    const after = next[at]!;
    if (after >= count) return;
    const rank = ranks.get(symbols[at]!, symbols[after]!);
    if (rank >= 0) pushHeap(heap, rank * 2 ** 30 + at);
  };
  for (let i = 0; i < count; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  for (let i = 0; i < count; i++) offer(i);
  while (heap.length) {
    const top = popHeap(heap);
    const at = top % 2 ** 30;
    const token = made[(top - at) / 2 ** 30]!;
    const after = next[at]!;
    if (symbols[at] === -1 || after >= count) continue;
    // The pair may have changed since it was offered.
    const rank = ranks.get(symbols[at]!, symbols[after]!);
    if (rank < 0 || made[rank] !== token) continue;
    symbols[at] = token;
    symbols[after] = -1;
    next[at] = next[after]!;
    if (next[at]! < count) previous[next[at]!] = at;
    if (previous[at]! >= 0) offer(previous[at]!);
    offer(at);
  }
  for (let i = 0; i < count; i = next[i]!) ids.push(symbols[i]!);
}

/** A heap whose smallest number is at 0. */
function pushHeap(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function popHeap(heap: number[]): number {
  const top = heap[0]!;
  const last = heap.pop()!;
  const count = heap.length;
  if (!count) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= count) break;
    if (child + 1 < count && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= last) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return top;
}
