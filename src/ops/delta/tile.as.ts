// C (= or +=) A B for small matrices that lie in cache, with any steps of A: nothing is laid out in panels, since each is used once
// or twice. Tiles are those of einsum and attention otherwise: not unrolled over k, statements in the order wanted.
import { put, sixes } from "../attend/tile.as";
import { COLUMNS } from "../einsum/micro.as";
import { madd } from "../simd.as";

/**
 * C[m, columns] = (or += if `add`) A[m, k] B[k, columns]; m a multiple of 4, columns of 16. Rows of A lie `am` bytes
 * apart and its k `ak`; rows of B `bk`, of C `cm`, columns side by side.
 */
export function product(
  m: i32, columns: i32, k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  const six = m - sixes(m);
  for (; columns > 0; columns -= COLUMNS, b += COLUMNS * 4, c += COLUMNS * 4) {
    let x = a, y = c, left = m;
    for (; left > six; left -= 6, x += 6 * am, y += 6 * cm) tile6(k, x, am, ak, b, bk, y, cm, add);
    for (; left > 0; left -= 4, x += 4 * am, y += 4 * cm) tile4(k, x, am, ak, b, bk, y, cm, add);
  }
}

function tile6(
  k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0);
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
    at += am;
    x = v128.load_splat<f32>(at);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    at += am;
    x = v128.load_splat<f32>(at);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    at += am;
    x = v128.load_splat<f32>(at);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    at += am;
    x = v128.load_splat<f32>(at);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    if (WIDE) c42 = madd(x, b2, c42);
    if (WIDE) c43 = madd(x, b3, c43);
    at += am;
    x = v128.load_splat<f32>(at);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    if (WIDE) c52 = madd(x, b2, c52);
    if (WIDE) c53 = madd(x, b3, c53);
    a += ak;
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

function tile4(
  k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
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
    at += am;
    x = v128.load_splat<f32>(at);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (WIDE) c12 = madd(x, b2, c12);
    if (WIDE) c13 = madd(x, b3, c13);
    at += am;
    x = v128.load_splat<f32>(at);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (WIDE) c22 = madd(x, b2, c22);
    if (WIDE) c23 = madd(x, b3, c23);
    at += am;
    x = v128.load_splat<f32>(at);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    if (WIDE) c32 = madd(x, b2, c32);
    if (WIDE) c33 = madd(x, b3, c33);
    a += ak;
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
