// A bias: one row that is added to every row, and the sum of all rows that is its gradient.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";
import * as slot from "./slot";

/** Columns that are summed at a time: a line of the cache, and sums that stay in registers. */
const STRIP: i32 = 16;

export function addBias(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const width = whole(args, slot.WIDTH);
  const step = <usize>width << 2;
  const each = rowsOf(width);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      const skip = <usize>row * step;
      addRow(width, address(args, slot.X) + skip, address(args, slot.BIAS), address(args, slot.OUT) + skip);
    }
}

function addRow(n: i32, x: usize, bias: usize, out: usize): void {
  for (; n >= 8; n -= 8, x += 32, bias += 32, out += 32) {
    v128.store(out, f32x4.add(v128.load(x), v128.load(bias)));
    v128.store(out, f32x4.add(v128.load(x, 16), v128.load(bias, 16)), 16);
  }
  for (; n > 0; n -= 4, x += 16, bias += 16, out += 16)
    storePart(out, n, f32x4.add(loadPart(x, n, 0), loadPart(bias, n, 0)));
}

/** Sums are kept in float64 and rounded once, so that the error does not grow with the rows. */
export function biasGradient(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const width = whole(args, slot.WIDTH);
  const strips = (width + STRIP - 1) / STRIP;
  for (let strip = first(strips); strip < strips; strip = next()) {
    const from = strip * STRIP;
    const skip = <usize>from << 2;
    sumColumns(min(STRIP, width - from), rows, <usize>width << 2, address(args, slot.X) + skip, address(args, slot.BIAS) + skip);
  }
}

/** Sums of n columns, at most 16, of rows that lie `step` bytes apart. */
function sumColumns(n: i32, rows: i32, step: usize, g: usize, out: usize): void {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  let e = f64x2.splat(0);
  let f = f64x2.splat(0);
  let h = f64x2.splat(0);
  let i = f64x2.splat(0);
  for (; rows > 0; rows--, g += step) {
    const w = loadPart(g, n, 0);
    const x = n > 4 ? loadPart(g + 16, n - 4, 0) : f32x4.splat(0);
    const y = n > 8 ? loadPart(g + 32, n - 8, 0) : f32x4.splat(0);
    const z = n > 12 ? loadPart(g + 48, n - 12, 0) : f32x4.splat(0);
    a = f64x2.add(a, low(w));
    b = f64x2.add(b, high(w));
    c = f64x2.add(c, low(x));
    d = f64x2.add(d, high(x));
    e = f64x2.add(e, low(y));
    f = f64x2.add(f, high(y));
    h = f64x2.add(h, low(z));
    i = f64x2.add(i, high(z));
  }
  storePart(out, n, roundPairs(a, b));
  storePart(out + 16, n - 4, roundPairs(c, d));
  storePart(out + 32, n - 8, roundPairs(e, f));
  storePart(out + 48, n - 12, roundPairs(h, i));
}

// @ts-ignore: decorator
@inline
function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

// @ts-ignore: decorator
@inline
function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 2, 3));
}

// @ts-ignore: decorator
@inline
function roundPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 1, 4, 5);
}
