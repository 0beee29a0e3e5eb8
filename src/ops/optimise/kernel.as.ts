// What an optimiser does to a parameter in place, and the sum of squares it clips by.
import { GRAIN, address, first, next, piecesOf, real, shared, whole } from "../../device/thread.as";
import { loadPart, madd, storePart, sum4 } from "../simd.as";
import * as slot from "./slot";

/** Squares are summed in runs of this many numbers, whatever the number of threads. */
const RUN: i32 = 16384;

export function squares(args: usize, _thread: i32): void {
  const n = whole(args, slot.NUMBERS);
  const runs = (n + RUN - 1) / RUN;
  for (let run = first(runs); run < runs; run = next()) {
    const from = run * RUN;
    store<f32>(shared() + (<usize>run << 2), sumSquares(min(RUN, n - from), address(args, slot.X) + (<usize>from << 2)));
  }
}

/** After squares: adds up all runs. */
export function squaresRuns(args: usize, _thread: i32): void {
  const runs = piecesOf(whole(args, slot.NUMBERS), RUN);
  for (let piece = first(1); piece < 1; piece = next()) {
    let total: f64 = 0;
    for (let run = 0; run < runs; run++) total += load<f32>(shared() + (<usize>run << 2));
    store<f32>(address(args, slot.SUM), <f32>total);
  }
}

function sumSquares(n: i32, x: usize): f32 {
  let s = f32x4.splat(0);
  let t = s;
  for (; n >= 8; n -= 8, x += 32) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    s = madd(a, a, s);
    t = madd(b, b, t);
  }
  for (; n > 0; n -= 4, x += 16) {
    const a = loadPart(x, n, 0);
    s = madd(a, a, s);
  }
  return sum4(f32x4.add(s, t));
}

export function adamw(args: usize, _thread: i32): void {
  const n = whole(args, slot.SIZE);
  let sum: f64 = 0;
  for (let i = 0; i < whole(args, slot.COUNT); i++) sum += load<f32>(address(args, slot.SQUARES) + (<usize>i << 2));
  const length = sqrt<f64>(sum);
  const most = load<f64>(args + (slot.MAX_NORM << 3));
  const clip: f32 = length > most ? <f32>(most / length) : 1;
  const pieces = piecesOf(n, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    const skip = <usize>from << 2;
    step(
      min(GRAIN, n - from), address(args, slot.P) + skip, address(args, slot.G) + skip, address(args, slot.M) + skip,
      address(args, slot.V) + skip, clip, args,
    );
  }
}

function step(n: i32, p: usize, g: usize, m: usize, v: usize, clip: f32, args: usize): void {
  const scale = f32x4.splat(clip);
  const b1 = f32x4.splat(real(args, slot.BETA1));
  const c1 = f32x4.splat(real(args, slot.REST1));
  const b2 = f32x4.splat(real(args, slot.BETA2));
  const c2 = f32x4.splat(real(args, slot.REST2));
  const i1 = f32x4.splat(real(args, slot.CORRECTION1));
  const i2 = f32x4.splat(real(args, slot.CORRECTION2));
  const eps = f32x4.splat(real(args, slot.EPS));
  const rate = f32x4.splat(real(args, slot.RATE));
  const keep = f32x4.splat(real(args, slot.KEEP));
  for (; n > 0; n -= 4) {
    const x = f32x4.mul(loadPart(g, n, 0), scale);
    const first = madd(b1, loadPart(m, n, 0), f32x4.mul(c1, x));
    const second = madd(b2, loadPart(v, n, 0), f32x4.mul(f32x4.mul(c2, x), x));
    storePart(m, n, first);
    storePart(v, n, second);
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(second, i2)), eps);
    const update = f32x4.mul(rate, f32x4.div(f32x4.mul(first, i1), root));
    storePart(p, n, f32x4.sub(f32x4.mul(keep, loadPart(p, n, 0)), update));
    p += 16;
    g += 16;
    m += 16;
    v += 16;
  }
}
