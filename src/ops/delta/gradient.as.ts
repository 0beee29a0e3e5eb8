// Gradients of a chunk's keys, queries and decays, block by block from the last: what the block's products with earlier
// tokens give, then its own pairs, by the running products of build.as.ts taken the other way round.
import { madd, sum4 } from "../simd.as";
import {
  LANES, N, N4, PANEL, V, V4, decays, keys, near, queries, since, starts, turn, turned, written as earlier,
} from "./build.as";
import { give, headRow, kind, n, scale } from "./call.as";
import { BLOCK, CHUNK } from "./chunk";
import { PER_CHANNEL } from "./decay";
import { product } from "./tile.as";

/** Gradient of the keys as decayed to where the walk stands, `[CHUNK][N]`: at first the chunk's end. */
export let written: usize = 0;
/** Per block, gradients of keys and queries times their decay since the chunk's start, `[blocks][LANES][N]`. */
export let read: usize = 0;
/** Gradient of the logarithm of the decay up to the token at hand, `[N]`: at first the chunk's end. */
export let ends: usize = 0;
// Gradients of a block's pairs `[CHUNK][LANES]`, and of its keys and queries times their decay since its start
// `[LANES][N]`.
let slopes: usize = 0;
let nearby: usize = 0;
let key: usize = 0;

/** Lays these out from `base` on. @returns the first byte behind them. */
export function layGradient(base: usize): usize {
  written = base;
  read = written + <usize>CHUNK * N4;
  ends = read + <usize>(2 * CHUNK) * N4;
  slopes = ends + N4;
  nearby = slopes + <usize>CHUNK * PANEL;
  key = nearby + <usize>LANES * N4;
  return key + N4;
}

/** Gradients of the tokens of `block`: `both` has minus those of their values, then those of their outputs. */
export function gradientRows(
  block: i32, row: i32, count: i32, head: i32, U: usize, both: usize, dq: usize, dk: usize, ddecay: usize,
): void {
  const rows = block * BLOCK, first = <usize>rows * N4;
  const mine = read + 2 * first;
  turn(both, V, V4);
  product(rows + BLOCK, LANES, V, U, V4, 4, turned, PANEL, slopes, PANEL, 0);
  if (rows) {
    product(LANES, N, rows, slopes, 4, PANEL, earlier(block), N4, nearby, N4, 0);
    const whole = since + first + <usize>(BLOCK - 1) * N4;
    for (let at = written; at < written + first; at += N4) multiply(whole, at);
    product(rows, N, LANES, slopes, PANEL, 4, near + 2 * first, N4, written, N4, 1);
  } else memory.fill(nearby, 0, <usize>LANES * N4);
  const start = starts + <usize>block * N4, half = <usize>BLOCK * N4;
  for (let i: usize = 0; i < half; i += N4) {
    combine(since + first + i, start, nearby + i, mine + i);
    combine(since + first + i, start, nearby + half + i, mine + half + i);
  }
  within(first, slopes + <usize>rows * PANEL, mine);
  for (let i = BLOCK - 1; i >= 0; i--) {
    const token = rows + i;
    if (token >= count) continue;
    const at = <usize>i * N4;
    finish(keys + first + at, queries + first + at, mine + at, mine + half + at, written + first + at);
    if (dq) give(mine + half + at, n, headRow(dq, row + token, head, n));
    if (dk) give(mine + at, n, headRow(dk, row + token, head, n));
    if (!ddecay) continue;
    if (kind == PER_CHANNEL) give(ends, n, headRow(ddecay, row + token, head, n));
    else store<f32>(headRow(ddecay, row + token, head, 1), sum());
  }
}

/** y = a (b y + x). */
function combine(a: usize, b: usize, x: usize, y: usize): void {
  for (const end = y + N4; y < end; a += 32, b += 32, x += 32, y += 32) {
    const s = madd(v128.load(b), v128.load(y), v128.load(x));
    const t = madd(v128.load(b, 16), v128.load(y, 16), v128.load(x, 16));
    v128.store(y, f32x4.mul(v128.load(a), s));
    v128.store(y, f32x4.mul(v128.load(a, 16), t), 16);
  }
}

/** y = x y. */
function multiply(x: usize, y: usize): void {
  for (const end = y + N4; y < end; x += 32, y += 32) {
    const s = f32x4.mul(v128.load(x), v128.load(y)), t = f32x4.mul(v128.load(x, 16), v128.load(y, 16));
    v128.store(y, s);
    v128.store(y, t, 16);
  }
}

/** z += x y. */
export function multiplyAdd(x: usize, y: usize, z: usize): void {
  for (const end = z + N4; z < end; x += 32, y += 32, z += 32) {
    const s = madd(v128.load(x), v128.load(y), v128.load(z));
    const t = madd(v128.load(x, 16), v128.load(y, 16), v128.load(z, 16));
    v128.store(z, s);
    v128.store(z, t, 16);
  }
}

/** Pairs of the block that begins at `first`: row j of `slope` has the gradients of A[i, j] / beta, then P[i, j]. */
function within(first: usize, slope: usize, mine: usize): void {
  const half = <usize>BLOCK * N4;
  for (let j: usize = 0, own: usize = 0; own < half; j += 4, own += N4, slope += PANEL) {
    const a = slope, p = slope + BLOCK * 4, at = first + own;
    begin(p + j, keys + at, mine + half + own);
    for (let i = own + N4, l = j + 4; i < half; i += N4, l += 4)
      spreadBoth(decays + first + i, a + l, p + l, mine + i, mine + half + i);
    for (let i = half - N4, l: usize = (BLOCK - 1) * 4; l > j; i -= N4, l -= 4)
      collect(decays + first + i, a + l, p + l, keys + first + i, queries + first + i, written + at);
    spread(p + j, queries + at, written + at);
  }
}

/** key = x; y += p x. */
function begin(p: usize, x: usize, y: usize): void {
  const f = v128.load_splat<f32>(p);
  for (let k = key, end = key + N4; k < end; k += 32, x += 32, y += 32) {
    const x0 = v128.load(x), x1 = v128.load(x, 16);
    v128.store(k, x0);
    v128.store(k, x1, 16);
    const y0 = madd(f, x0, v128.load(y)), y1 = madd(f, x1, v128.load(y, 16));
    v128.store(y, y0);
    v128.store(y, y1, 16);
  }
}

/** y += p x. */
function spread(p: usize, x: usize, y: usize): void {
  const f = v128.load_splat<f32>(p);
  for (const end = y + N4; y < end; x += 32, y += 32) {
    const s = madd(f, v128.load(x), v128.load(y)), t = madd(f, v128.load(x, 16), v128.load(y, 16));
    v128.store(y, s);
    v128.store(y, t, 16);
  }
}

/** The key decays by one token; y += a key, z += p key. */
function spreadBoth(e: usize, a: usize, p: usize, y: usize, z: usize): void {
  const f = v128.load_splat<f32>(a), w = v128.load_splat<f32>(p);
  for (let x = key, end = key + N4; x < end; x += 32, e += 32, y += 32, z += 32) {
    const s = f32x4.mul(v128.load(x), v128.load(e)), t = f32x4.mul(v128.load(x, 16), v128.load(e, 16));
    v128.store(x, s);
    v128.store(x, t, 16);
    const y0 = madd(f, s, v128.load(y)), y1 = madd(f, t, v128.load(y, 16));
    v128.store(y, y0);
    v128.store(y, y1, 16);
    const z0 = madd(w, s, v128.load(z)), z1 = madd(w, t, v128.load(z, 16));
    v128.store(z, z0);
    v128.store(z, z1, 16);
  }
}

/** x = e (x + a y + p z). */
function collect(e: usize, a: usize, p: usize, y: usize, z: usize, x: usize): void {
  const f = v128.load_splat<f32>(a), w = v128.load_splat<f32>(p);
  for (const end = x + N4; x < end; x += 32, e += 32, y += 32, z += 32) {
    const s = madd(w, v128.load(z), madd(f, v128.load(y), v128.load(x)));
    const t = madd(w, v128.load(z, 16), madd(f, v128.load(y, 16), v128.load(x, 16)));
    v128.store(x, f32x4.mul(v128.load(e), s));
    v128.store(x, f32x4.mul(v128.load(e, 16), t), 16);
  }
}

/** A token's gradients: `erase` becomes its key's in both roles, `dq` takes the scale, and `ends` what it gives. */
function finish(k: usize, q: usize, erase: usize, dq: usize, write: usize): void {
  const factor = f32x4.splat(scale);
  for (let x = ends, end = ends + N4; x < end; x += 32, k += 32, q += 32, erase += 32, dq += 32, write += 32) {
    const e0 = v128.load(erase), e1 = v128.load(erase, 16), w0 = v128.load(write), w1 = v128.load(write, 16);
    const y0 = v128.load(dq), y1 = v128.load(dq, 16);
    const s0 = madd(v128.load(q), y0, madd(v128.load(k), f32x4.sub(e0, w0), v128.load(x)));
    const s1 = madd(v128.load(q, 16), y1, madd(v128.load(k, 16), f32x4.sub(e1, w1), v128.load(x, 16)));
    v128.store(x, s0);
    v128.store(x, s1, 16);
    v128.store(erase, f32x4.add(e0, w0));
    v128.store(erase, f32x4.add(e1, w1), 16);
    v128.store(dq, f32x4.mul(factor, y0));
    v128.store(dq, f32x4.mul(factor, y1), 16);
  }
}

function sum(): f32 {
  let x = f32x4.splat(0);
  for (let at = ends; at < ends + N4; at += 16) x = f32x4.add(x, v128.load(at));
  return sum4(x);
}
