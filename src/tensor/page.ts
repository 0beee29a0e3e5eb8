import { PAGE } from "./pagination.ts";
import type { Block } from "./tensor.ts";

export { PAGE };

/** How cached numbers are kept: float32, bfloat16, or 8-bit whole numbers with a float32 scale per token (and key head). */
export type CacheType = "f32" | "bf16" | "q8";

/** Bytes of a cached number, scales left out. */
export const numberBytes: Readonly<Record<CacheType, number>> = { f32: 4, bf16: 2, q8: 1 };

/** What `count` tokens fill, in whole pages. */
export function pageTokens(count: number): number {
  return Math.ceil(count / PAGE) * PAGE;
}

/** Memory of PAGE tokens of one layer, shared by all caches that began alike. */
export interface Page {
  readonly block: Block;
  owners: number;
}

/** Where the rows of a cached tensor lie: row i on page i / PAGE, rows of a part one after the other, then its scales. */
export interface Paging {
  readonly type: CacheType;
  readonly pages: readonly Page[];
  /** Bytes from the start of a page to the part's first row, and (8-bit) to its first scale. */
  readonly offset: number;
  readonly scales: number;
  /** Scales of a row, each for as many numbers. */
  readonly groups: number;
}

/** Bytes of one row of `width` numbers with `groups` scales. A device of float64 keeps every type as float64, already rounded. */
export function rowBytes(type: CacheType, width: number, groups: number, elementBytes: 4 | 8): number {
  if (elementBytes === 8) return 8 * width;
  return { f32: 4 * width, bf16: 2 * width, q8: width + 4 * groups }[type];
}
