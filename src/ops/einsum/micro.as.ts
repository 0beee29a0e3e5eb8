// The innermost loops of every contraction: a tile of C in registers, summed over k in order. The three shapes are the
// largest that do not spill in V8 for each build. Not unrolled over k, and written in the order wanted: V8 keeps it. The
// loop ends by address: an instruction less than with a counter, which tells when another tenant shares the core.
import { madd } from "../simd.as";
import { FUSED_ROWS, PLAIN_COLUMNS, PLAIN_ROWS, WIDE_COLUMNS } from "./size";

// WIDE is 1 in the build meant for revectorisation (scripts/kernels.ts).
/** Rows and columns of the tile of this build. */
export const ROWS: i32 = ASC_FEATURE_RELAXED_SIMD ? FUSED_ROWS : PLAIN_ROWS;
export const COLUMNS: i32 = WIDE ? WIDE_COLUMNS : PLAIN_COLUMNS;

/**
 * C tile = (or += if `add`) A panel times B panel. `a`: k x ROWS, `b`: k x COLUMNS; rows of C lie `row` bytes apart,
 * its columns side by side.
 */
// @ts-ignore: decorator
@inline
export function tile(k: i32, a: usize, b: usize, c: usize, row: usize, add: i32): void {
  if (WIDE) tile6x16(k, a, b, c, row, add);
  else if (ASC_FEATURE_RELAXED_SIMD) tile6x8(k, a, b, c, row, add);
  else tile4x8(k, a, b, c, row, add);
}

// @ts-ignore: decorator
@inline
function put2(c: usize, add: i32, x0: v128, x1: v128): void {
  if (add) {
    x0 = f32x4.add(v128.load(c), x0);
    x1 = f32x4.add(v128.load(c, 16), x1);
  }
  v128.store(c, x0);
  v128.store(c, x1, 16);
}

// @ts-ignore: decorator
@inline
function put4(c: usize, add: i32, x0: v128, x1: v128, x2: v128, x3: v128): void {
  if (add) {
    x0 = f32x4.add(v128.load(c), x0);
    x1 = f32x4.add(v128.load(c, 16), x1);
    x2 = f32x4.add(v128.load(c, 32), x2);
    x3 = f32x4.add(v128.load(c, 48), x3);
  }
  v128.store(c, x0);
  v128.store(c, x1, 16);
  v128.store(c, x2, 32);
  v128.store(c, x3, 48);
}

/** 6 x 16: 24 accumulators, which fit 16 registers only after revectorisation to 256 bits. */
export function tile6x16(k: i32, a: usize, b: usize, c: usize, row: usize, add: i32): void {
  let c00 = f32x4.splat(0),
    c01 = f32x4.splat(0),
    c02 = f32x4.splat(0),
    c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0),
    c11 = f32x4.splat(0),
    c12 = f32x4.splat(0),
    c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0),
    c21 = f32x4.splat(0),
    c22 = f32x4.splat(0),
    c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0),
    c31 = f32x4.splat(0),
    c32 = f32x4.splat(0),
    c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0),
    c41 = f32x4.splat(0),
    c42 = f32x4.splat(0),
    c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0),
    c51 = f32x4.splat(0),
    c52 = f32x4.splat(0),
    c53 = f32x4.splat(0);
  const end = b + (<usize>k << 6);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    c02 = madd(x, b2, c02);
    c03 = madd(x, b3, c03);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    c12 = madd(x, b2, c12);
    c13 = madd(x, b3, c13);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    c22 = madd(x, b2, c22);
    c23 = madd(x, b3, c23);
    x = v128.load_splat<f32>(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    c32 = madd(x, b2, c32);
    c33 = madd(x, b3, c33);
    x = v128.load_splat<f32>(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    c42 = madd(x, b2, c42);
    c43 = madd(x, b3, c43);
    x = v128.load_splat<f32>(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    c52 = madd(x, b2, c52);
    c53 = madd(x, b3, c53);
    a += 24;
    b += 64;
  }
  put4(c, add, c00, c01, c02, c03);
  c += row;
  put4(c, add, c10, c11, c12, c13);
  c += row;
  put4(c, add, c20, c21, c22, c23);
  c += row;
  put4(c, add, c30, c31, c32, c33);
  c += row;
  put4(c, add, c40, c41, c42, c43);
  c += row;
  put4(c, add, c50, c51, c52, c53);
}

/** 6 x 8: 12 accumulators, 2 of b and 1 of a leave no register over; needs the fused multiply-add. */
export function tile6x8(k: i32, a: usize, b: usize, c: usize, row: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load_splat<f32>(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = v128.load_splat<f32>(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = v128.load_splat<f32>(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    a += 24;
    b += 32;
  }
  put2(c, add, c00, c01);
  c += row;
  put2(c, add, c10, c11);
  c += row;
  put2(c, add, c20, c21);
  c += row;
  put2(c, add, c30, c31);
  c += row;
  put2(c, add, c40, c41);
  c += row;
  put2(c, add, c50, c51);
}

/** 4 x 8: leaves a register for the product where multiplication and addition are apart. */
export function tile4x8(k: i32, a: usize, b: usize, c: usize, row: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const end = b + (<usize>k << 5);
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load_splat<f32>(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a += 16;
    b += 32;
  }
  put2(c, add, c00, c01);
  c += row;
  put2(c, add, c10, c11);
  c += row;
  put2(c, add, c20, c21);
  c += row;
  put2(c, add, c30, c31);
}
