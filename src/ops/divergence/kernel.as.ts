// Divergence of rows of logits from others; neither softmax is ever stored.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { exponentials, greatest } from "../loss/kernel.as";
import { exp4, loadPart, log4, storePart, sum4 } from "../simd.as";
import * as slot from "./slot";

export function divergence(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const v = whole(args, slot.VOCABULARY);
  const sums = address(args, slot.SUMS);
  const step = <usize>v << 2;
  const each = rowsOf(v);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      const x = address(args, slot.WANTED) + <usize>row * step;
      const y = address(args, slot.LOGITS) + <usize>row * step;
      const mostX = greatest(v, x);
      const mostY = greatest(v, y);
      const sumX = exponentials(v, x, mostX);
      // Of the gaps x - y those of the maxima are left out, so that sums stay small.
      const gap = gaps(v, x, y, mostX, mostX - mostY) / sumX;
      const logX = logarithm(sumX);
      const logY = logarithm(exponentials(v, y, mostY));
      store<f32>(sums + (<usize>row << 2), mostX + logX);
      store<f32>(sums + (<usize>(rows + row) << 2), mostY + logY);
      store<f32>(sums + (<usize>(2 * rows + row) << 2), gap - (logX - logY));
    }
}

function logarithm(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

/** sum of e^(x - most) (x - y - apart). */
function gaps(n: i32, x: usize, y: usize, most: f32, apart: f32): f32 {
  const m = f32x4.splat(most);
  const a = f32x4.splat(apart);
  let s = f32x4.splat(0);
  for (; n >= 4; n -= 4, x += 16, y += 16) {
    const xs = v128.load(x);
    s = f32x4.add(s, f32x4.mul(exp4(f32x4.sub(xs, m)), f32x4.sub(f32x4.sub(xs, v128.load(y)), a)));
  }
  if (n > 0) {
    const xs = loadPart(x, n, -Infinity);
    // Beyond the end the gap is 0, and not infinite.
    const gap = f32x4.sub(f32x4.sub(loadPart(x, n, 0), loadPart(y, n, 0)), a);
    s = f32x4.add(s, f32x4.mul(exp4(f32x4.sub(xs, m)), gap));
  }
  return sum4(s);
}

/** After divergence: the mean over the rows. */
export function divergenceMean(args: usize, _thread: i32): void {
  for (let piece = first(1); piece < 1; piece = next()) {
    const rows = whole(args, slot.ROWS);
    const each = address(args, slot.SUMS) + (<usize>(2 * rows) << 2);
    let total: f64 = 0;
    for (let row = 0; row < rows; row++) total += <f64>load<f32>(each + (<usize>row << 2));
    store<f32>(address(args, slot.OUT), <f32>(total / rows));
  }
}

export function divergenceBackward(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const v = whole(args, slot.VOCABULARY);
  const step = <usize>v << 2;
  const sums = address(args, slot.SUMS);
  const factor = load<f32>(address(args, slot.G)) / <f32>rows;
  const each = rowsOf(v);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      const at = <usize>row * step;
      const logX = load<f32>(sums + (<usize>row << 2));
      const logY = load<f32>(sums + (<usize>(rows + row) << 2));
      apart(v, address(args, slot.WANTED) + at, address(args, slot.LOGITS) + at, logX, logY, factor, address(args, slot.OUT) + at);
    }
}

/** out = factor (e^(y - logY) - e^(x - logX)). */
function apart(n: i32, x: usize, y: usize, logX: f32, logY: f32, factor: f32, out: usize): void {
  const a = f32x4.splat(logX);
  const b = f32x4.splat(logY);
  const f = f32x4.splat(factor);
  for (; n >= 4; n -= 4, x += 16, y += 16, out += 16)
    v128.store(out, f32x4.mul(f, f32x4.sub(exp4(f32x4.sub(v128.load(y), b)), exp4(f32x4.sub(v128.load(x), a)))));
  if (n > 0) {
    const p = exp4(f32x4.sub(loadPart(x, n, 0), a));
    storePart(out, n, f32x4.mul(f, f32x4.sub(exp4(f32x4.sub(loadPart(y, n, 0), b)), p)));
  }
}
