// Cross entropy over rows of logits; the softmax is never stored.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { exp4, loadPart, log4, max4, storePart, sum4 } from "../simd.as";
import * as slot from "./slot";

export function loss(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const v = whole(args, slot.VOCABULARY);
  const lse = address(args, slot.LSE);
  const step = <usize>v << 2;
  const each = rowsOf(v);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      const x = address(args, slot.LOGITS) + <usize>row * step;
      const most = greatest(v, x);
      const log = f32x4.extract_lane(log4(f32x4.splat(exponentials(v, x, most))), 0);
      store<f32>(lse + (<usize>row << 2), most + log);
    }
}

/** After loss: the mean over the counted rows. */
export function lossMean(args: usize, _thread: i32): void {
  for (let piece = first(1); piece < 1; piece = next()) mean(args);
}

function mean(args: usize): void {
  const rows = whole(args, slot.ROWS);
  const lse = address(args, slot.LSE);
  const step = <usize>whole(args, slot.VOCABULARY) << 2;
  let total: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const target = load<i32>(address(args, slot.TARGETS) + (<usize>row << 2));
    if (target < 0) continue;
    const x = load<f32>(address(args, slot.LOGITS) + <usize>row * step + (<usize>target << 2));
    total += <f64>load<f32>(lse + (<usize>row << 2)) - <f64>x;
  }
  store<f32>(address(args, slot.OUT), <f32>(total / whole(args, slot.COUNTED)));
}

/** The largest of n numbers. */
export function greatest(n: i32, x: usize): f32 {
  let s = f32x4.splat(-Infinity);
  let t = s;
  for (; n >= 8; n -= 8, x += 32) {
    // The one-instruction maximum: a NaN that it misses comes back through the exponentials.
    s = f32x4.pmax(s, v128.load(x));
    t = f32x4.pmax(t, v128.load(x, 16));
  }
  for (; n > 0; n -= 4, x += 16) s = f32x4.pmax(s, loadPart(x, n, -Infinity));
  return max4(f32x4.pmax(s, t));
}

/** sum of e^(x - most). */
export function exponentials(n: i32, x: usize, most: f32): f32 {
  const m = f32x4.splat(most);
  let s = f32x4.splat(0);
  let t = s;
  for (; n >= 8; n -= 8, x += 32) {
    s = f32x4.add(s, exp4(f32x4.sub(v128.load(x), m)));
    t = f32x4.add(t, exp4(f32x4.sub(v128.load(x, 16), m)));
  }
  for (; n > 0; n -= 4, x += 16) s = f32x4.add(s, exp4(f32x4.sub(loadPart(x, n, -Infinity), m)));
  return sum4(f32x4.add(s, t));
}

export function lossBackward(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const v = whole(args, slot.VOCABULARY);
  const step = <usize>v << 2;
  const factor = load<f32>(address(args, slot.G)) / <f32>whole(args, slot.COUNTED);
  const each = rowsOf(v);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) backRow(row, v, step, factor, args);
}

function backRow(row: i32, v: i32, step: usize, factor: f32, args: usize): void {
    const target = load<i32>(address(args, slot.TARGETS) + (<usize>row << 2));
    const out = address(args, slot.OUT) + <usize>row * step;
    if (target < 0) {
      memory.fill(out, 0, step);
      return;
    }
    const x = address(args, slot.LOGITS) + <usize>row * step;
    probabilities(v, x, load<f32>(address(args, slot.LSE) + (<usize>row << 2)), factor, out);
    const at = out + (<usize>target << 2);
    store<f32>(at, load<f32>(at) - factor);
}

/** out = factor e^(x - lse). */
function probabilities(n: i32, x: usize, lse: f32, factor: f32, out: usize): void {
  const m = f32x4.splat(lse);
  const f = f32x4.splat(factor);
  for (; n >= 8; n -= 8, x += 32, out += 32) {
    const s = f32x4.mul(f, exp4(f32x4.sub(v128.load(x), m)));
    const t = f32x4.mul(f, exp4(f32x4.sub(v128.load(x, 16), m)));
    v128.store(out, s);
    v128.store(out, t, 16);
  }
  for (; n > 0; n -= 4, x += 16, out += 16) storePart(out, n, f32x4.mul(f, exp4(f32x4.sub(loadPart(x, n, 0), m))));
}
