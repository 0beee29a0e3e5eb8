// One function of every number, and its derivative times the output's gradient.
import { address, share, whole } from "../../device/thread.as";
import { exp4, loadPart, madd, nmadd, sigmoid4, softplus4, storePart, tanh4 } from "../simd.as";

// As wasm.ts numbers the functions.
const SIGMOID: i32 = 0;
const SILU: i32 = 1;
const SOFTPLUS: i32 = 2;
const LOG_SIGMOID: i32 = 3;
const EXP: i32 = 4;
const RELU: i32 = 5;
const TANH: i32 = 6;

/** Arguments: out x, n in elements, number of the function. */
export function map(args: usize, thread: i32, threads: i32): void {
  const total = whole(args, 2);
  const from = share(total >> 8, thread, threads) << 8;
  const n = (thread == threads - 1 ? total : share(total >> 8, thread + 1, threads) << 8) - from;
  const out = address(args, 0) + (<usize>from << 2);
  const x = address(args, 1) + (<usize>from << 2);
  switch (whole(args, 3)) {
    case SIGMOID: return run(SIGMOID, n, out, x);
    case SILU: return run(SILU, n, out, x);
    case SOFTPLUS: return run(SOFTPLUS, n, out, x);
    case LOG_SIGMOID: return run(LOG_SIGMOID, n, out, x);
    case EXP: return run(EXP, n, out, x);
    case RELU: return run(RELU, n, out, x);
    default: return run(TANH, n, out, x);
  }
}

/** Inlined once for each function, of which only its own branch of `value` is left. */
// @ts-ignore: decorator
@inline
function run(by: i32, n: i32, out: usize, x: usize): void {
  for (; n >= 8; n -= 8, x += 32, out += 32) {
    const s = value(by, v128.load(x));
    const t = value(by, v128.load(x, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
  }
  for (; n > 0; n -= 4, x += 16, out += 16) storePart(out, n, value(by, loadPart(x, n, 0)));
}

// @ts-ignore: decorator
@inline
function value(by: i32, x: v128): v128 {
  if (by == SIGMOID) return sigmoid4(x);
  if (by == SILU) return f32x4.mul(x, sigmoid4(x));
  if (by == SOFTPLUS) return softplus4(x);
  if (by == LOG_SIGMOID) return f32x4.neg(softplus4(f32x4.neg(x)));
  if (by == EXP) return exp4(x);
  if (by == RELU) return f32x4.pmax(x, f32x4.splat(0));
  return tanh4(x);
}

/** Arguments: dx from (input or output: see index.ts) g, n in elements, number of the function. */
export function mapBackward(args: usize, thread: i32, threads: i32): void {
  const total = whole(args, 3);
  const from = share(total >> 8, thread, threads) << 8;
  const n = (thread == threads - 1 ? total : share(total >> 8, thread + 1, threads) << 8) - from;
  const dx = address(args, 0) + (<usize>from << 2);
  const x = address(args, 1) + (<usize>from << 2);
  const g = address(args, 2) + (<usize>from << 2);
  switch (whole(args, 4)) {
    case SIGMOID: return back(SIGMOID, n, dx, x, g);
    case SILU: return back(SILU, n, dx, x, g);
    case SOFTPLUS: return back(SOFTPLUS, n, dx, x, g);
    case LOG_SIGMOID: return back(LOG_SIGMOID, n, dx, x, g);
    case EXP: return back(EXP, n, dx, x, g);
    case RELU: return back(RELU, n, dx, x, g);
    default: return back(TANH, n, dx, x, g);
  }
}

// @ts-ignore: decorator
@inline
function back(by: i32, n: i32, dx: usize, x: usize, g: usize): void {
  for (; n >= 8; n -= 8) {
    const s = slope(by, v128.load(x), v128.load(g));
    const t = slope(by, v128.load(x, 16), v128.load(g, 16));
    v128.store(dx, s);
    v128.store(dx, t, 16);
    dx += 32;
    x += 32;
    g += 32;
  }
  for (; n > 0; n -= 4, dx += 16, x += 16, g += 16)
    storePart(dx, n, slope(by, loadPart(x, n, 0), loadPart(g, n, 0)));
}

/** g times the derivative: at the input x for silu, softplus and logSigmoid, else of the output x. */
// @ts-ignore: decorator
@inline
function slope(by: i32, x: v128, g: v128): v128 {
  const one = f32x4.splat(1);
  if (by == SIGMOID) return f32x4.mul(f32x4.mul(g, x), f32x4.sub(one, x));
  if (by == SILU) {
    const s = sigmoid4(x);
    return f32x4.mul(f32x4.mul(g, s), madd(x, f32x4.sub(one, s), one));
  }
  if (by == SOFTPLUS) return f32x4.mul(g, sigmoid4(x));
  if (by == LOG_SIGMOID) return f32x4.mul(g, sigmoid4(f32x4.neg(x)));
  if (by == EXP) return f32x4.mul(g, x);
  if (by == RELU) return v128.and(g, f32x4.gt(x, f32x4.splat(0)));
  return f32x4.mul(g, nmadd(x, x, one));
}
