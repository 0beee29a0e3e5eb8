// The innermost loops of every product: a tile of C in registers, summed over k in order. One body for any steps of A, B and C is
// compiled into each caller: steps that are constants there become the loads' own offsets, worth 7 % of the speed (LOG.md).
// Not unrolled over k, and written in the order wanted: V8 keeps it. The loop ends by address: an instruction less than with a
// counter, which tells when another tenant shares the core.
import { madd } from "../simd.as";
import { FUSED_ROWS, PLAIN_COLUMNS, PLAIN_ROWS, WIDE_COLUMNS } from "./size";

// WIDE is 1 in the build meant for revectorisation (scripts/kernels.ts).
/**
 * Rows and columns of the tile of this build. 6 x 16: 24 accumulators, which fit 16 registers only after revectorisation to 256
 * bits. 6 x 8: 12, 2 of b and 1 of a leave no register over; needs the fused multiply-add. 4 x 8 leaves one for the product.
 */
export const ROWS: i32 = ASC_FEATURE_RELAXED_SIMD ? FUSED_ROWS : PLAIN_ROWS;
export const COLUMNS: i32 = WIDE ? WIDE_COLUMNS : PLAIN_COLUMNS;

/**
 * C tile = (or += if `add`) A panel times B panel. `a`: k x ROWS, `b`: k x COLUMNS; rows of C lie `row` bytes apart,
 * its columns side by side.
 */
export function tile(k: i32, a: usize, b: usize, c: usize, row: usize, add: i32): void {
  if (ROWS == 6) tile6(k, a, 4, 24, BESIDE, 0, b, COLUMNS << 2, c, row, add);
  else tile4(k, a, 4, 16, BESIDE, 0, b, COLUMNS << 2, c, row, add);
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

/** How rows of A lie: side by side, `am` bytes apart, or `am` bytes apart up to `most`, which is taken again for those beyond. */
export const BESIDE: i32 = 0;
export const STEPPED: i32 = 1;
export const BOUNDED: i32 = 2;

/**
 * C[6, COLUMNS] = (or += if `add`) A[6, k] B[k, COLUMNS]: rows of A `lie` as above and its k `ak` bytes apart, rows of B `bk`, of C
 * `cm`, columns side by side. Callers say `lie` as a constant: a condition in this loop that is known as late as `most` cost attention
 * a fifth of its speed, and rows side by side that were reached by adding 4 instead of by the load's own offset 5 % (LOG.md).
 */
// @ts-ignore: decorator
@inline
export function tile6(
  k: i32, a: usize, am: usize, ak: usize, lie: i32, most: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0);
  let a1 = lie == BOUNDED ? min(a + am, most) : 0;
  let a2 = lie == BOUNDED ? min(a + 2 * am, most) : 0;
  let a3 = lie == BOUNDED ? min(a + 3 * am, most) : 0;
  let a4 = lie == BOUNDED ? min(a + 4 * am, most) : 0;
  let a5 = lie == BOUNDED ? min(a + 5 * am, most) : 0;
  const end = b + <usize>k * bk;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let at = a;
    let x = v128.load_splat<f32>(at);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    at = lie == BOUNDED ? a1 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 4) : v128.load_splat<f32>(at);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    at = lie == BOUNDED ? a2 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 8) : v128.load_splat<f32>(at);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    at = lie == BOUNDED ? a3 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 12) : v128.load_splat<f32>(at);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    at = lie == BOUNDED ? a4 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 16) : v128.load_splat<f32>(at);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    if (WIDE) c42 = madd(x, b2, c42);
    if (WIDE) c43 = madd(x, b3, c43);
    at = lie == BOUNDED ? a5 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 20) : v128.load_splat<f32>(at);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    if (WIDE) c52 = madd(x, b2, c52);
    if (WIDE) c53 = madd(x, b3, c53);
    a += ak;
    if (lie == BOUNDED) a1 += ak;
    if (lie == BOUNDED) a2 += ak;
    if (lie == BOUNDED) a3 += ak;
    if (lie == BOUNDED) a4 += ak;
    if (lie == BOUNDED) a5 += ak;
    b += bk;
  }
  put(c, add, c00, c01, c02, c03);
  c += cm;
  put(c, add, c10, c11, c12, c13);
  c += cm;
  put(c, add, c20, c21, c22, c23);
  c += cm;
  put(c, add, c30, c31, c32, c33);
  c += cm;
  put(c, add, c40, c41, c42, c43);
  c += cm;
  put(c, add, c50, c51, c52, c53);
}

/** As `tile6` with four rows. */
// @ts-ignore: decorator
@inline
export function tile4(
  k: i32, a: usize, am: usize, ak: usize, lie: i32, most: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let a1 = lie == BOUNDED ? min(a + am, most) : 0;
  let a2 = lie == BOUNDED ? min(a + 2 * am, most) : 0;
  let a3 = lie == BOUNDED ? min(a + 3 * am, most) : 0;
  const end = b + <usize>k * bk;
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = WIDE ? v128.load(b, 32) : b0;
    const b3 = WIDE ? v128.load(b, 48) : b0;
    let at = a;
    let x = v128.load_splat<f32>(at);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (WIDE) c02 = madd(x, b2, c02);
    if (WIDE) c03 = madd(x, b3, c03);
    at = lie == BOUNDED ? a1 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 4) : v128.load_splat<f32>(at);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    at = lie == BOUNDED ? a2 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 8) : v128.load_splat<f32>(at);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    at = lie == BOUNDED ? a3 : at + am;
    x = lie == BESIDE ? v128.load_splat<f32>(a, 12) : v128.load_splat<f32>(at);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    a += ak;
    if (lie == BOUNDED) a1 += ak;
    if (lie == BOUNDED) a2 += ak;
    if (lie == BOUNDED) a3 += ak;
    b += bk;
  }
  put(c, add, c00, c01, c02, c03);
  c += cm;
  put(c, add, c10, c11, c12, c13);
  c += cm;
  put(c, add, c20, c21, c22, c23);
  c += cm;
  put(c, add, c30, c31, c32, c33);
}
