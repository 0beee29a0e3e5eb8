// Tiles of products into panels, the innermost loops of attention: COLUMNS floats a row of B and C, rows side by side.
import { BESIDE, BOUNDED, COLUMNS, ROWS, tile4, tile6 } from "../einsum/micro.as";

/** Bytes of a row of a panel. */
export const WIDTH: usize = COLUMNS * 4;

// Rows of C come in sixes, then fours: fewer are wasted than with sixes alone.

/** How many of `n` rows are taken six at a time. */
export function sixes(n: i32): i32 {
  if (ROWS == 4) return 0;
  const rest = n % 6;
  if (rest == 5) return n + 1;
  if (rest > 2 || rest == 0 || n < 6) return n - rest;
  return n - rest - 6;
}

/** `n` rows and those that fill the last tile. */
export function padRows(n: i32): i32 {
  const six = sixes(n);
  return n > six ? six + ((n - six + 3) & ~3) : six;
}

/** First row of the tile that row `i` lies in. */
export function floorRow(i: i32, six: i32): i32 {
  return i < six ? i - (i % 6) : six + ((i - six) & ~3);
}

/** First row of the first tile that begins at row `i` or later. */
export function ceilRow(i: i32, six: i32): i32 {
  return i <= six ? ((i + 5) / 6) * 6 : six + ((i - six + 3) & ~3);
}

/** C `[rows][COLUMNS]` from A whose `rows` (6 or 4) lie side by side, `step` bytes from one k to the next. */
// @ts-ignore: decorator
@inline
export function tile(rows: i32, k: i32, a: usize, step: usize, b: usize, c: usize, add: i32): void {
  if (ROWS == 6 && rows == 6) beside6(k, a, step, b, c, add);
  else beside4(k, a, step, b, c, add);
}

/** C `[rows][COLUMNS]` from A whose rows lie `stride` bytes apart, none beyond `most`: the last is then taken again. */
// @ts-ignore: decorator
@inline
export function tileRows(rows: i32, k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  if (ROWS == 6 && rows == 6) apart6(k, a, stride, most, b, c, add);
  else apart4(k, a, stride, most, b, c, add);
}

function beside6(k: i32, a: usize, step: usize, b: usize, c: usize, add: i32): void {
  tile6(k, a, 4, step, BESIDE, 0, b, WIDTH, c, WIDTH, add);
}

function beside4(k: i32, a: usize, step: usize, b: usize, c: usize, add: i32): void {
  tile4(k, a, 4, step, BESIDE, 0, b, WIDTH, c, WIDTH, add);
}

function apart6(k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  tile6(k, a, stride, 4, BOUNDED, most, b, WIDTH, c, WIDTH, add);
}

function apart4(k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  tile4(k, a, stride, 4, BOUNDED, most, b, WIDTH, c, WIDTH, add);
}
