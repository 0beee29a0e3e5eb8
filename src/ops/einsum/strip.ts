import { KEPT } from "./size.ts";

/** Rows (or columns) of a strip that fit where they are kept, all strips about equal and of whole tiles; 0 where none does. */
export function stripOf(size: number, k: number, tile: number): number {
  const most = Math.floor(KEPT / k / tile);
  if (most === 0) return 0;
  const tiles = Math.ceil(size / tile);
  return Math.ceil(tiles / Math.ceil(tiles / most)) * tile;
}
