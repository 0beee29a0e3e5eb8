// Gradients of the delta rule: chunks from last to first, each computed anew from the state before it, with dS the
// gradient of the state after it. README.md has the equations.
import { address, first, next, piecesOf, rowsOf, scratch } from "../../device/thread.as";
import { lift4 } from "../attend/panel.as";
import { madd } from "../simd.as";
import {
  LANES, N, N4, PANEL, V, V4, build, far, layChunk, panel, partial, rates, starts, sumAt, takeChunk, touch, vals,
  written,
} from "./build.as";
import {
  batch, chunks, g, give, h, headRow, n, open, stateAt, states, t, take, takeState, v,
} from "./call.as";
import { BLOCK, CHUNK } from "./chunk";
import {
  ends, gradientRows, layGradient, multiplyAdd, read as gradientOfRead, written as gradientOfWritten,
} from "./gradient.as";
import { scaleRows } from "./kernel.as";
import * as slot from "./slot";
import { gather, solve } from "./solve.as";
import { product } from "./tile.as";

// Where the gradients go; 0 for one that is not wanted.
let gout: usize = 0;
let dq: usize = 0;
let dk: usize = 0;
let dv: usize = 0;
let dbeta: usize = 0;
let ddecay: usize = 0;
// In scratch: what S holds for keys and queries; U; gradients of U, then of the values; per block the negative
// gradients of values, then those of outputs, `[blocks][LANES][V]`; S, dS, and either of them turned, `[V][N]`.
let read: usize = 0;
let U: usize = 0;
let slopes: usize = 0;
let both: usize = 0;
let S: usize = 0;
let dS: usize = 0;
let across: usize = 0;

export function deltaBackward(args: usize, thread: i32): void {
  open(args);
  gout = address(args, slot.GOUT);
  dq = address(args, slot.DQ);
  dk = address(args, slot.DK);
  dv = address(args, slot.DV);
  dbeta = address(args, slot.DBETA);
  ddecay = address(args, slot.DDECAY);
  read = layGradient(layChunk(scratch(thread)));
  U = read + <usize>(2 * CHUNK) * V4;
  slopes = U + <usize>CHUNK * V4;
  both = slopes + <usize>CHUNK * V4;
  S = both + <usize>(2 * CHUNK) * V4;
  dS = S + <usize>N * V4;
  across = dS + <usize>N * V4;
  memory.fill(S, 0, <usize>N * V4);
  const pieces = batch * h;
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const row = (piece / h) * t;
    memory.fill(dS, 0, <usize>N * V4);
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      takeState(stateAt(states, piece * chunks + chunk), S, V);
      const from = chunk * CHUNK;
      backwardChunk(row + from, min(CHUNK, t - from), piece % h);
    }
  }
}

/** After deltaBackward, where heads share keys: the sums dq and dk over the heads of a group. */
export function deltaHeads(args: usize, _thread: i32): void {
  open(args);
  const rows = batch * t, each = rowsOf(h * n), pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const from = piece * each, to = min(rows, from + each);
    if (address(args, slot.DQ)) sumHeads(address(args, slot.DQ), from, to, address(args, slot.Q_SUM));
    if (address(args, slot.DK)) sumHeads(address(args, slot.DK), from, to, address(args, slot.K_SUM));
  }
}

function backwardChunk(row: i32, count: i32, head: i32): void {
  const blocks = (count + BLOCK - 1) / BLOCK, last = starts + <usize>blocks * N4;
  takeChunk(row, count, head, blocks);
  build(blocks);
  solve(blocks, S, read, U, false);
  touch(headRow(gout, row, head, v), h * v, count, v);
  for (let i = 0; i < blocks * BLOCK; i++) {
    const lane = (i / BLOCK) * LANES + BLOCK + i % BLOCK;
    take(headRow(gout, row + i, head, v), i < count ? v : 0, both + <usize>lane * V4, V, 1);
  }
  solveBack(blocks);
  for (let i = 0; i < count; i++) {
    if (dv) give(slopes + <usize>i * V4, v, headRow(dv, row + i, head, v));
    if (dbeta) store<f32>(headRow(dbeta, row + i, head, 1), load<f32>(rates + (<usize>i << 2)));
  }
  product(blocks * BLOCK, N, V, U, V4, 4, turnState(dS), N4, gradientOfWritten, N4, 0);
  if (ddecay) endDecay(blocks, last);
  product(blocks * LANES, N, V, both, V4, 4, turnState(S), N4, gradientOfRead, N4, 0);
  scaleRows(dS, last);
  product(N, V, blocks * LANES, far, 4, N4, both, V4, dS, V4, 1);
  for (let block = blocks - 1; block >= 0; block--)
    gradientRows(block, row, count, head, U, both + <usize>(block * LANES) * V4, dq, dk, ddecay);
}

/**
 * The transposed system, from the last block to the first: dU = P^T dO + K dS, then W = dU - A^T W. `slopes` becomes
 * beta W, the gradient of the values, and `rates` that of beta.
 */
function solveBack(blocks: i32): void {
  product(blocks * BLOCK, V, N, written(blocks), N4, 4, dS, V4, slopes, V4, 0);
  for (let block = blocks - 1; block >= 0; block--) {
    const rows = block * BLOCK, own = panel(block) + <usize>rows * PANEL, b = both + <usize>(block * LANES) * V4;
    const here = slopes + <usize>rows * V4, missing = vals + <usize>rows * V4, rate = rates + (<usize>rows << 2);
    product(BLOCK, V, BLOCK, own + BLOCK * 4, PANEL, 4, b + <usize>BLOCK * V4, V4, here, V4, 1);
    for (let j = BLOCK - 1; j >= 0; j--) {
      const at = <usize>j * V4, later = <usize>(j + 1);
      gather(BLOCK - later, own + <usize>j * PANEL + (later << 2), 4, b + at + V4, here + at);
      settle(here + at, missing + at, rate + (<usize>j << 2), b + at);
    }
    if (rows) product(rows, V, LANES, panel(block), PANEL, 4, b, V4, slopes, V4, 1);
  }
}

/** w = beta w, minus = -w; the product of the old w with r takes the place of beta. */
function settle(w: usize, r: usize, rate: usize, minus: usize): void {
  const f = v128.load_splat<f32>(rate);
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
  for (const end = w + V4; w < end; w += 32, r += 32, minus += 32) {
    const x0 = v128.load(w), x1 = v128.load(w, 16);
    s0 = madd(x0, v128.load(r), s0);
    s1 = madd(x1, v128.load(r, 16), s1);
    const y0 = f32x4.mul(f, x0), y1 = f32x4.mul(f, x1);
    v128.store(w, y0);
    v128.store(w, y1, 16);
    v128.store(minus, f32x4.neg(y0));
    v128.store(minus, f32x4.neg(y1), 16);
  }
  // Through memory: that is where revectorisation sees that the two can be one.
  v128.store(partial, s0);
  v128.store(partial, s1, 16);
  store<f32>(rate, sumAt(partial));
}

/** `[N][V]` becomes `[V][N]`. */
function turnState(from: usize): usize {
  for (let c = 0; c < N; c += 4, from += 4 * V4)
    lift4(from, from + V4, from + 2 * V4, from + 3 * V4, V, across + (<usize>c << 2), N4, 1);
  return across;
}

/** Gradient of the logarithm of the whole chunk's decay: through S before it, and through the keys written into S. */
function endDecay(blocks: i32, last: usize): void {
  for (let c: usize = 0, at: usize = 0; c < N4; c += 4, at += V4)
    store<f32>(ends + c, load<f32>(last + c) * dot(S + at, dS + at));
  for (let i: usize = 0, end = <usize>(blocks * BLOCK) * N4; i < end; i += N4)
    multiplyAdd(written(blocks) + i, gradientOfWritten + i, ends);
}

function dot(x: usize, y: usize): f32 {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
  for (const end = x + V4; x < end; x += 32, y += 32) {
    s0 = madd(v128.load(x), v128.load(y), s0);
    s1 = madd(v128.load(x, 16), v128.load(y, 16), s1);
  }
  v128.store(partial, s0);
  v128.store(partial, s1, 16);
  return sumAt(partial);
}

/** Sums the gradients of the value heads that one key head serves. */
function sumHeads(from: usize, row: i32, end: i32, to: usize): void {
  const step = <usize>n << 2, heads = h / g;
  let x = from + <usize>(row * h) * step, y = to + <usize>(row * g) * step;
  for (let i = (end - row) * g; i > 0; i--, y += step, x += <usize>heads * step)
    for (let c: usize = 0; c < step; c += 4) {
      let sum = load<f32>(x + c);
      for (let j = 1, at = x + c + step; j < heads; j++, at += step) sum += load<f32>(at);
      store<f32>(y + c, sum);
    }
}
