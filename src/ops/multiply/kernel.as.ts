// Products of numbers seen as [outer, middle, inner] with one number for each of `middle`.
import { GRAIN, address, first, next, piecesOf, scratch, share, shared, whole } from "../../device/thread.as";
import { loadPart, madd, storePart, sum4 } from "../simd.as";
import * as slot from "./slot";

/** Numbers of a row that are worked on at a time, so that what is read twice comes from the nearest cache. */
const STRIP: i32 = 2048;
/** Numbers of a piece of the sum of all runs. */
const SUMMED: i32 = 512;

/** Where inner is 1, rows of `middle` are short: so many are taken as one, against b as often one after the other. */
export function multiply(args: usize, thread: i32): void {
  const middle = whole(args, slot.MIDDLE), inner = whole(args, slot.INNER), repeats = whole(args, slot.REPEATS);
  const n = whole(args, slot.OUTER) * middle * inner;
  const b = repeat(address(args, slot.B), middle, repeats, thread);
  const period = middle * repeats;
  const pieces = piecesOf(n, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next())
    multiplyRun(piece * GRAIN, min(n, (piece + 1) * GRAIN), inner, period, b, args);
}

function multiplyRun(at: i32, to: i32, inner: i32, period: i32, b: usize, args: usize): void {
  while (at < to) {
    const out = address(args, slot.OUT) + (<usize>at << 2);
    const a = address(args, slot.A) + (<usize>at << 2);
    if (inner == 1) {
      const m = at % period;
      const count = min(to - at, period - m);
      product(count, out, a, b + (<usize>m << 2));
      at += count;
    } else {
      const count = min(to - at, inner - (at % inner));
      scale(count, out, a, load<f32>(b + (<usize>((at / inner) % period) << 2)));
      at += count;
    }
  }
}

/**
 * Rows are summed into db in `runs` runs, whatever the number of threads; the sums of runs are in shared memory, but for one
 * run in db itself.
 */
export function multiplyBackward(args: usize, thread: i32): void {
  const db = address(args, slot.DB);
  const outer = whole(args, slot.OUTER);
  const middle = whole(args, slot.MIDDLE);
  const inner = whole(args, slot.INNER);
  const repeats = whole(args, slot.REPEATS);
  const runs = whole(args, slot.RUNS);
  const period = middle * repeats;
  const rows = (outer + repeats - 1) / repeats;
  const b = repeat(address(args, slot.B), middle, repeats, thread);
  const direct = runs == 1 && repeats == 1;
  const strip = max(1, STRIP / inner);
  const strips = (period + strip - 1) / strip;
  for (let piece = first(runs * strips); piece < runs * strips; piece = next()) {
    const run = piece / strips;
    const from = (piece % strips) * strip;
    const n = min(strip, period - from);
    const skip = <usize>from << 2;
    let sum: usize = 0;
    if (db) {
      sum = (direct ? db : shared() + (<usize>(run * period) << 2)) + skip;
      memory.fill(sum, 0, <usize>n << 2);
    }
    const to = share(rows, run + 1, runs);
    for (let row = share(rows, run, runs); row < to; row++) {
      const start = row * period + from;
      const count = min(n, outer * middle - start);
      const at = <usize>start * (<usize>inner << 2);
      const da = address(args, slot.OUT) ? address(args, slot.OUT) + at : 0;
      if (inner == 1) backRow(count, da, sum, address(args, slot.A) + at, b + skip, address(args, slot.G) + at);
      else backUnits(count, inner, da, sum, address(args, slot.A) + at, b + skip, address(args, slot.G) + at);
    }
  }
}

/** After multiplyBackward: adds up what its runs left in shared memory, where that is not db itself. */
export function multiplyRuns(args: usize, _thread: i32): void {
  const db = address(args, slot.DB);
  const middle = whole(args, slot.MIDDLE);
  const repeats = whole(args, slot.REPEATS);
  const runs = whole(args, slot.RUNS);
  const pieces = !db || (runs == 1 && repeats == 1) ? 0 : piecesOf(middle, SUMMED);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * SUMMED;
    const n = min(SUMMED, middle - from);
    const to = db + (<usize>from << 2);
    memory.fill(to, 0, <usize>n << 2);
    for (let i = 0; i < runs * repeats; i++) add(n, to, shared() + (<usize>(i * middle + from) << 2));
  }
}

/** b, or `repeats` of it one after the other. */
function repeat(b: usize, middle: i32, repeats: i32, thread: i32): usize {
  if (repeats == 1) return b;
  const to = scratch(thread);
  for (let i = 0; i < middle * repeats; i++) store<f32>(to + (<usize>i << 2), load<f32>(b + (<usize>(i % middle) << 2)));
  return to;
}

/** da = g b; sum += g a. */
function backRow(n: i32, da: usize, sum: usize, a: usize, b: usize, g: usize): void {
  if (da) product(n, da, g, b);
  if (sum) addProduct(n, sum, g, a);
}

/** The same for `n` stretches of `inner` numbers, each with one number of b and of sum. */
function backUnits(n: i32, inner: i32, da: usize, sum: usize, a: usize, b: usize, g: usize): void {
  const step = <usize>inner << 2;
  for (let i = 0; i < n; i++, a += step, g += step) {
    const at = <usize>i << 2;
    if (da) scale(inner, da + <usize>i * step, g, load<f32>(b + at));
    if (sum) store<f32>(sum + at, load<f32>(sum + at) + dot(inner, g, a));
  }
}

/** out = x y. */
function product(n: i32, out: usize, x: usize, y: usize): void {
  for (; n >= 16; n -= 16, out += 64, x += 64, y += 64) {
    const s = f32x4.mul(v128.load(x), v128.load(y));
    const t = f32x4.mul(v128.load(x, 16), v128.load(y, 16));
    const u = f32x4.mul(v128.load(x, 32), v128.load(y, 32));
    const v = f32x4.mul(v128.load(x, 48), v128.load(y, 48));
    v128.store(out, s);
    v128.store(out, t, 16);
    v128.store(out, u, 32);
    v128.store(out, v, 48);
  }
  for (; n > 0; n -= 4, out += 16, x += 16, y += 16) storePart(out, n, f32x4.mul(loadPart(x, n, 0), loadPart(y, n, 0)));
}

/** sum += x y. */
function addProduct(n: i32, sum: usize, x: usize, y: usize): void {
  for (; n >= 16; n -= 16, sum += 64, x += 64, y += 64) {
    const s = madd(v128.load(x), v128.load(y), v128.load(sum));
    const t = madd(v128.load(x, 16), v128.load(y, 16), v128.load(sum, 16));
    const u = madd(v128.load(x, 32), v128.load(y, 32), v128.load(sum, 32));
    const v = madd(v128.load(x, 48), v128.load(y, 48), v128.load(sum, 48));
    v128.store(sum, s);
    v128.store(sum, t, 16);
    v128.store(sum, u, 32);
    v128.store(sum, v, 48);
  }
  for (; n > 0; n -= 4, sum += 16, x += 16, y += 16)
    storePart(sum, n, madd(loadPart(x, n, 0), loadPart(y, n, 0), loadPart(sum, n, 0)));
}

/** out = x y, with the same y for all. */
function scale(n: i32, out: usize, x: usize, y: f32): void {
  const f = f32x4.splat(y);
  for (; n >= 16; n -= 16, out += 64, x += 64) {
    const s = f32x4.mul(v128.load(x), f);
    const t = f32x4.mul(v128.load(x, 16), f);
    const u = f32x4.mul(v128.load(x, 32), f);
    const v = f32x4.mul(v128.load(x, 48), f);
    v128.store(out, s);
    v128.store(out, t, 16);
    v128.store(out, u, 32);
    v128.store(out, v, 48);
  }
  for (; n > 0; n -= 4, out += 16, x += 16) storePart(out, n, f32x4.mul(loadPart(x, n, 0), f));
}

/** sum of x y. */
function dot(n: i32, x: usize, y: usize): f32 {
  let s = f32x4.splat(0);
  let t = s;
  for (; n >= 8; n -= 8, x += 32, y += 32) {
    s = madd(v128.load(x), v128.load(y), s);
    t = madd(v128.load(x, 16), v128.load(y, 16), t);
  }
  for (; n > 0; n -= 4, x += 16, y += 16) s = madd(loadPart(x, n, 0), loadPart(y, n, 0), s);
  return sum4(f32x4.add(s, t));
}

/** out += x. */
function add(n: i32, out: usize, x: usize): void {
  for (; n > 0; n -= 4, out += 16, x += 16) storePart(out, n, f32x4.add(loadPart(out, n, 0), loadPart(x, n, 0)));
}
