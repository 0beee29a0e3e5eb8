// Tiles of C = (or += if `add`) A B held in registers, the innermost loops of attention. They differ from those of
// einsum in how A is read, and in that C is a panel: COLUMNS floats a row, rows side by side. As there, V8 keeps the order
// of the statements, and spills nothing as long as they are not unrolled over k.
import { COLUMNS, ROWS } from "../einsum/micro.as";
import { madd } from "../simd.as";

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
  if (ROWS == 6 && rows == 6) tile6(k, a, step, b, c, add);
  else tile4(k, a, step, b, c, add);
}

/** C `[rows][COLUMNS]` from A whose rows lie `stride` bytes apart, none beyond `most`: the last is then taken again. */
// @ts-ignore: decorator
@inline
export function tileRows(rows: i32, k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  if (ROWS == 6 && rows == 6) rows6(k, a, stride, most, b, c, add);
  else rows4(k, a, stride, most, b, c, add);
}

// @ts-ignore: decorator
@inline
export function put(c: usize, add: i32, x0: v128, x1: v128, x2: v128, x3: v128): void {
  if (add) {
    x0 = f32x4.add(v128.load(c), x0);
    x1 = f32x4.add(v128.load(c, 16), x1);
    if (WIDE) x2 = f32x4.add(v128.load(c, 32), x2);
    if (WIDE) x3 = f32x4.add(v128.load(c, 48), x3);
  }
  v128.store(c, x0);
  v128.store(c, x1, 16);
  if (WIDE) v128.store(c, x2, 32);
  if (WIDE) v128.store(c, x3, 48);
}

/** Six rows of `tile`. */
export function tile6(k: i32, a: usize, step: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0);
  const end = b + <usize>k * WIDTH;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    x = v128.load_splat<f32>(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    x = v128.load_splat<f32>(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    if (WIDE) c42 = madd(x, b2, c42);
    if (WIDE) c43 = madd(x, b3, c43);
    x = v128.load_splat<f32>(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    if (WIDE) c52 = madd(x, b2, c52);
    if (WIDE) c53 = madd(x, b3, c53);
    a += step;
    b += WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
  put(c + 4 * WIDTH, add, c40, c41, c42, c43);
  put(c + 5 * WIDTH, add, c50, c51, c52, c53);
}

/** Four rows of `tile`. */
export function tile4(k: i32, a: usize, step: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  const end = b + <usize>k * WIDTH;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    x = v128.load_splat<f32>(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    a += step;
    b += WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
}

/** Six rows of `tileRows`. */
export function rows6(k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0);
  let a1 = min(a + stride, most);
  let a2 = min(a + 2 * stride, most);
  let a3 = min(a + 3 * stride, most);
  let a4 = min(a + 4 * stride, most);
  let a5 = min(a + 5 * stride, most);
  const end = b + <usize>k * WIDTH;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    x = v128.load_splat<f32>(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    x = v128.load_splat<f32>(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    x = v128.load_splat<f32>(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    x = v128.load_splat<f32>(a4);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    if (WIDE) c42 = madd(x, b2, c42);
    if (WIDE) c43 = madd(x, b3, c43);
    x = v128.load_splat<f32>(a5);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    if (WIDE) c52 = madd(x, b2, c52);
    if (WIDE) c53 = madd(x, b3, c53);
    a += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    a4 += 4;
    a5 += 4;
    b += WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
  put(c + 4 * WIDTH, add, c40, c41, c42, c43);
  put(c + 5 * WIDTH, add, c50, c51, c52, c53);
}

/** Four rows of `tileRows`. */
export function rows4(k: i32, a: usize, stride: usize, most: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let a1 = min(a + stride, most);
  let a2 = min(a + 2 * stride, most);
  let a3 = min(a + 3 * stride, most);
  const end = b + <usize>k * WIDTH;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    x = v128.load_splat<f32>(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    x = v128.load_splat<f32>(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    x = v128.load_splat<f32>(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    a += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    b += WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
}
