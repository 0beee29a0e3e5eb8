// One function of every number, and its derivative times the output's gradient. Each function is a kernel of its own, with
// loops of its own.
import { GRAIN, address, first, next, piecesOf, whole } from "../../device/thread.as";
import { exp4, loadPart, madd, nmadd, sigmoid4, softplus4, storePart, tanh4 } from "../simd.as";
import * as slot from "./slot";

const SIGMOID: i32 = 0;
const SILU: i32 = 1;
const SOFTPLUS: i32 = 2;
const LOG_SIGMOID: i32 = 3;
const EXP: i32 = 4;
const RELU: i32 = 5;
const TANH: i32 = 6;

export function sigmoid(args: usize, _thread: i32): void {
  map(SIGMOID, args);
}

export function silu(args: usize, _thread: i32): void {
  map(SILU, args);
}

export function softplus(args: usize, _thread: i32): void {
  map(SOFTPLUS, args);
}

export function logSigmoid(args: usize, _thread: i32): void {
  map(LOG_SIGMOID, args);
}

export function exp(args: usize, _thread: i32): void {
  map(EXP, args);
}

export function relu(args: usize, _thread: i32): void {
  map(RELU, args);
}

export function tanh(args: usize, _thread: i32): void {
  map(TANH, args);
}

/** Inlined once for each function, of which only its own branch of `value` is left. */
// @ts-ignore: decorator
@inline
function map(by: i32, args: usize): void {
  const total = whole(args, slot.SIZE);
  const pieces = piecesOf(total, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    let n = min(GRAIN, total - from);
    let out = address(args, slot.OUT) + (<usize>from << 2);
    let x = address(args, slot.X) + (<usize>from << 2);
    for (; n >= 8; n -= 8, x += 32, out += 32) {
      const s = value(by, v128.load(x));
      const t = value(by, v128.load(x, 16));
      v128.store(out, s);
      v128.store(out, t, 16);
    }
    for (; n > 0; n -= 4, x += 16, out += 16) storePart(out, n, value(by, loadPart(x, n, 0)));
  }
}

// @ts-ignore: decorator
@inline
function value(by: i32, x: v128): v128 {
  if (by == SIGMOID) return sigmoid4(x);
  if (by == SILU) return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
  if (by == SOFTPLUS) return softplus4(x);
  if (by == LOG_SIGMOID) return f32x4.neg(softplus4(f32x4.neg(x)));
  if (by == EXP) return exp4(x);
  if (by == RELU) return f32x4.pmax(x, f32x4.splat(0));
  return tanh4(x);
}

export function sigmoidBackward(args: usize, _thread: i32): void {
  mapBackward(SIGMOID, args);
}

export function siluBackward(args: usize, _thread: i32): void {
  mapBackward(SILU, args);
}

export function softplusBackward(args: usize, _thread: i32): void {
  mapBackward(SOFTPLUS, args);
}

export function logSigmoidBackward(args: usize, _thread: i32): void {
  mapBackward(LOG_SIGMOID, args);
}

export function expBackward(args: usize, _thread: i32): void {
  mapBackward(EXP, args);
}

export function reluBackward(args: usize, _thread: i32): void {
  mapBackward(RELU, args);
}

export function tanhBackward(args: usize, _thread: i32): void {
  mapBackward(TANH, args);
}

/** Inlined once for each function, like map. */
// @ts-ignore: decorator
@inline
function mapBackward(by: i32, args: usize): void {
  const total = whole(args, slot.SIZE);
  const pieces = piecesOf(total, GRAIN);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * GRAIN;
    let n = min(GRAIN, total - from);
    let dx = address(args, slot.OUT) + (<usize>from << 2);
    let x = address(args, slot.X) + (<usize>from << 2);
    let g = address(args, slot.G) + (<usize>from << 2);
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
