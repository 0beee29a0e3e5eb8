// Root mean square norm over rows of e numbers.
import { address, first, next, piecesOf, real, rowsOf, share, shared, whole } from "../../device/thread.as";
import { loadPart, madd, nmadd, storePart, sum4 } from "../simd.as";
import { RUNS } from "./size";
import * as slot from "./slot";

/** Numbers of a piece of the sum of all runs. */
const SUMMED: i32 = 512;

export function norm(args: usize, _thread: i32): void {
  const rows = whole(args, slot.ROWS);
  const e = whole(args, slot.WIDTH);
  const step = <usize>e << 2;
  const each = rowsOf(e);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      const skip = <usize>row * step;
      const x = address(args, slot.X) + skip;
      const gain = address(args, slot.GAIN) ? address(args, slot.GAIN) + <usize>(row % whole(args, slot.HEADS)) * step : 0;
      scaleRow(e, x, gain, inverse(e, x, real(args, slot.EPS)), address(args, slot.OUT) + skip);
    }
}

/** Needs the gain's size per run, shared. */
export function normBackward(args: usize, _thread: i32): void {
  const dgain = address(args, slot.DGAIN);
  const rows = whole(args, slot.ROWS);
  const e = whole(args, slot.WIDTH);
  const heads = whole(args, slot.HEADS);
  const step = <usize>e << 2;
  const all = <usize>heads * step;
  for (let run = first(RUNS); run < RUNS; run = next()) {
    const sum = dgain ? shared() + <usize>run * all : 0;
    if (sum) memory.fill(sum, 0, all);
    const to = share(rows, run + 1, RUNS);
    for (let row = share(rows, run, RUNS); row < to; row++) {
      const skip = <usize>row * step;
      const head = <usize>(row % heads) * step;
      const x = address(args, slot.X) + skip;
      const g = address(args, slot.G) + skip;
      const gain = address(args, slot.GAIN) ? address(args, slot.GAIN) + head : 0;
      const r = inverse(e, x, real(args, slot.EPS));
      if (address(args, slot.OUT)) backRow(e, x, gain, g, r, address(args, slot.OUT) + skip);
      if (sum) addRow(e, x, g, r, sum + head);
    }
  }
}

/** After normBackward: adds up the gain's gradient of all runs. */
export function normRuns(args: usize, _thread: i32): void {
  const dgain = address(args, slot.DGAIN);
  const size = whole(args, slot.HEADS) * whole(args, slot.WIDTH);
  const all = <usize>size << 2;
  const pieces = dgain ? piecesOf(size, SUMMED) : 0;
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let i = piece * SUMMED, end = min(size, i + SUMMED); i < end; i++) {
      let total: f32 = 0;
      for (let run = 0; run < RUNS; run++) total += load<f32>(shared() + <usize>run * all + (<usize>i << 2));
      store<f32>(dgain + (<usize>i << 2), total);
    }
}

/** 1 / sqrt(mean(x^2) + eps). */
function inverse(e: i32, x: usize, eps: f32): f32 {
  return 1 / sqrt<f32>(dot(e, x, x, 0) / <f32>e + eps);
}

/** sum of x y z; z of 1 where it is 0. */
function dot(e: i32, x: usize, y: usize, z: usize): f32 {
  let s = f32x4.splat(0);
  let t = f32x4.splat(0);
  let n = e;
  if (z) {
    for (; n >= 8; n -= 8, x += 32, y += 32, z += 32) {
      s = madd(f32x4.mul(v128.load(x), v128.load(z)), v128.load(y), s);
      t = madd(f32x4.mul(v128.load(x, 16), v128.load(z, 16)), v128.load(y, 16), t);
    }
    for (; n > 0; n -= 4, x += 16, y += 16, z += 16)
      s = madd(f32x4.mul(loadPart(x, n, 0), loadPart(z, n, 0)), loadPart(y, n, 0), s);
  } else {
    for (; n >= 8; n -= 8, x += 32, y += 32) {
      s = madd(v128.load(x), v128.load(y), s);
      t = madd(v128.load(x, 16), v128.load(y, 16), t);
    }
    for (; n > 0; n -= 4, x += 16, y += 16) s = madd(loadPart(x, n, 0), loadPart(y, n, 0), s);
  }
  return sum4(f32x4.add(s, t));
}

function scaleRow(e: i32, x: usize, gain: usize, r: f32, out: usize): void {
  const v = f32x4.splat(r);
  let n = e;
  if (!gain) {
    for (; n > 0; n -= 4, x += 16, out += 16) storePart(out, n, f32x4.mul(loadPart(x, n, 0), v));
    return;
  }
  for (; n >= 8; n -= 8) {
    const s = f32x4.mul(f32x4.mul(v128.load(x), v), v128.load(gain));
    const t = f32x4.mul(f32x4.mul(v128.load(x, 16), v), v128.load(gain, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
    x += 32;
    gain += 32;
    out += 32;
  }
  for (; n > 0; n -= 4, x += 16, gain += 16, out += 16)
    storePart(out, n, f32x4.mul(f32x4.mul(loadPart(x, n, 0), v), loadPart(gain, n, 0)));
}

/** dx = r (g gain - x r^2 sum(g gain x) / e). */
function backRow(e: i32, x: usize, gain: usize, g: usize, r: f32, dx: usize): void {
  const q = f32x4.splat((r * r * dot(e, g, x, gain)) / <f32>e);
  const v = f32x4.splat(r);
  let n = e;
  if (!gain) {
    for (; n > 0; n -= 4, x += 16, g += 16, dx += 16)
      storePart(dx, n, f32x4.mul(v, nmadd(loadPart(x, n, 0), q, loadPart(g, n, 0))));
    return;
  }
  for (; n >= 8; n -= 8) {
    const s = nmadd(v128.load(x), q, f32x4.mul(v128.load(g), v128.load(gain)));
    const t = nmadd(v128.load(x, 16), q, f32x4.mul(v128.load(g, 16), v128.load(gain, 16)));
    v128.store(dx, f32x4.mul(v, s));
    v128.store(dx, f32x4.mul(v, t), 16);
    x += 32;
    g += 32;
    gain += 32;
    dx += 32;
  }
  for (; n > 0; n -= 4, x += 16, g += 16, gain += 16, dx += 16) {
    const s = nmadd(loadPart(x, n, 0), q, f32x4.mul(loadPart(g, n, 0), loadPart(gain, n, 0)));
    storePart(dx, n, f32x4.mul(v, s));
  }
}

/** sum += g x r. */
function addRow(e: i32, x: usize, g: usize, r: f32, sum: usize): void {
  const v = f32x4.splat(r);
  let n = e;
  for (; n >= 8; n -= 8) {
    const s = madd(v128.load(g), f32x4.mul(v128.load(x), v), v128.load(sum));
    const t = madd(v128.load(g, 16), f32x4.mul(v128.load(x, 16), v), v128.load(sum, 16));
    v128.store(sum, s);
    v128.store(sum, t, 16);
    x += 32;
    g += 32;
    sum += 32;
  }
  for (; n > 0; n -= 4, x += 16, g += 16, sum += 16)
    storePart(sum, n, madd(loadPart(g, n, 0), f32x4.mul(loadPart(x, n, 0), v), loadPart(sum, n, 0)));
}
