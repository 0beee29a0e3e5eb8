// Tiles whose left operand is a panel of weights as it stands: k runs along its rows. See tile.as.ts.
import { ROWS, put } from "../einsum/micro.as";
import { madd } from "../simd.as";
import { WIDTH } from "./tile.as";

/** C `[rows][COLUMNS]` from A `[panels][rows][COLUMNS]`, panels `next` bytes apart, k running along panels and columns. */
// @ts-ignore: decorator
@inline
export function tileAlong(rows: i32, panels: i32, a: usize, next: usize, b: usize, c: usize, add: i32): void {
  if (ROWS == 6 && rows == 6) along6(panels, a, next, b, c, add);
  else along4(panels, a, next, b, c, add);
}

/** Six rows of `tileAlong`. */
export function along6(panels: i32, a: usize, next: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0);
  for (; panels > 0; panels--) {
    for (const end = a + WIDTH; a < end; a += 4, b += WIDTH) {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const b2 = WIDE ? v128.load(b, 32) : b0;
      const b3 = WIDE ? v128.load(b, 48) : b0;
      let x = v128.load_splat<f32>(a);
      c00 = madd(x, b0, c00);
      c01 = madd(x, b1, c01);
      if (WIDE) c02 = madd(x, b2, c02);
      if (WIDE) c03 = madd(x, b3, c03);
      x = v128.load_splat<f32>(a, WIDTH);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
      if (WIDE) c12 = madd(x, b2, c12);
      if (WIDE) c13 = madd(x, b3, c13);
      x = v128.load_splat<f32>(a, 2 * WIDTH);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
      if (WIDE) c22 = madd(x, b2, c22);
      if (WIDE) c23 = madd(x, b3, c23);
      x = v128.load_splat<f32>(a, 3 * WIDTH);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
      if (WIDE) c32 = madd(x, b2, c32);
      if (WIDE) c33 = madd(x, b3, c33);
      x = v128.load_splat<f32>(a, 4 * WIDTH);
      c40 = madd(x, b0, c40);
      c41 = madd(x, b1, c41);
      if (WIDE) c42 = madd(x, b2, c42);
      if (WIDE) c43 = madd(x, b3, c43);
      x = v128.load_splat<f32>(a, 5 * WIDTH);
      c50 = madd(x, b0, c50);
      c51 = madd(x, b1, c51);
      if (WIDE) c52 = madd(x, b2, c52);
      if (WIDE) c53 = madd(x, b3, c53);
    }
    a += next - WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
  put(c + 4 * WIDTH, add, c40, c41, c42, c43);
  put(c + 5 * WIDTH, add, c50, c51, c52, c53);
}

/** Four rows of `tileAlong`. */
export function along4(panels: i32, a: usize, next: usize, b: usize, c: usize, add: i32): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0);
  for (; panels > 0; panels--) {
    for (const end = a + WIDTH; a < end; a += 4, b += WIDTH) {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const b2 = WIDE ? v128.load(b, 32) : b0;
      const b3 = WIDE ? v128.load(b, 48) : b0;
      let x = v128.load_splat<f32>(a);
      c00 = madd(x, b0, c00);
      c01 = madd(x, b1, c01);
      if (WIDE) c02 = madd(x, b2, c02);
      if (WIDE) c03 = madd(x, b3, c03);
      x = v128.load_splat<f32>(a, WIDTH);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
      if (WIDE) c12 = madd(x, b2, c12);
      if (WIDE) c13 = madd(x, b3, c13);
      x = v128.load_splat<f32>(a, 2 * WIDTH);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
      if (WIDE) c22 = madd(x, b2, c22);
      if (WIDE) c23 = madd(x, b3, c23);
      x = v128.load_splat<f32>(a, 3 * WIDTH);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
      if (WIDE) c32 = madd(x, b2, c32);
      if (WIDE) c33 = madd(x, b3, c33);
    }
    a += next - WIDTH;
  }
  put(c, add, c00, c01, c02, c03);
  put(c + WIDTH, add, c10, c11, c12, c13);
  put(c + 2 * WIDTH, add, c20, c21, c22, c23);
  put(c + 3 * WIDTH, add, c30, c31, c32, c33);
}
