// What a chunk is made of before the state comes in: its keys and queries decayed to where they are used, and the
// products of keys with keys (A) and queries with keys (P). Tokens go in blocks of 8: between blocks the products are
// products of matrices, from keys decayed to the block's start and keys and queries decayed from there on; within a
// block, pairs. No decay is ever inverted. README.md has the equations.
import { lift4 } from "../attend/panel.as";
import { exp4, madd, sum4 } from "../simd.as";
import {
  beta, decay, g, h, headRow, k, keyRow, kind, n, q, scale, take, v, values,
} from "./call.as";
import { BLOCK, CHUNK } from "./chunk";
import { PER_CHANNEL, PER_HEAD } from "./decay";
import { product } from "./tile.as";

/** A block's keys, then its queries, are as many rows or columns. */
export const LANES: i32 = 2 * BLOCK;
/** Bytes of a row of A and P. */
export const PANEL: usize = LANES * 4;
const BLOCKS: i32 = CHUNK / BLOCK;

/** Widths rounded up to 16, and the same in bytes. */
export let N: i32 = 0;
export let V: i32 = 0;
export let N4: usize = 0;
export let V4: usize = 0;

/** exp(decay), keys and scaled queries `[CHUNK][N]`, values `[CHUNK][V]`, beta `[CHUNK]`. */
export let decays: usize = 0;
export let keys: usize = 0;
export let queries: usize = 0;
export let vals: usize = 0;
export let rates: usize = 0;
/** Decay from a block's start to its tokens, `[CHUNK][N]`, and from the chunk's to a block's, `[BLOCKS + 1][N]`. */
export let since: usize = 0;
export let starts: usize = 0;
/** A block's keys and queries times their decay since its start, and since the chunk's: `[BLOCKS][LANES][N]`. */
export let near: usize = 0;
export let far: usize = 0;
/** See `written`. */
let earlier: usize = 0;
/** Per block `[CHUNK][LANES]`: row j has A[i, j] / beta[i] of its tokens i, then P[i, j]. */
let pairs: usize = 0;
/** LANES columns of up to N or V rows, turned. */
export let turned: usize = 0;
/** Sums of eight floats on their way to one. */
export let partial: usize = 0;

/** Lays a chunk out from `base` on. @returns the first byte behind it; wasm.ts counts the floats. */
export function layChunk(base: usize): usize {
  N = (n + 15) & ~15;
  V = (v + 15) & ~15;
  N4 = <usize>N << 2;
  V4 = <usize>V << 2;
  partial = base;
  decays = partial + 128;
  keys = decays + <usize>CHUNK * N4;
  queries = keys + <usize>CHUNK * N4;
  vals = queries + <usize>CHUNK * N4;
  rates = vals + <usize>CHUNK * V4;
  since = rates + CHUNK * 4;
  starts = since + <usize>CHUNK * N4;
  near = starts + <usize>(BLOCKS + 1) * N4;
  far = near + <usize>(2 * CHUNK) * N4;
  earlier = far + <usize>(2 * CHUNK) * N4;
  pairs = earlier + <usize>(((BLOCKS * (BLOCKS + 1)) / 2) * BLOCK) * N4;
  turned = pairs + <usize>(BLOCKS * CHUNK) * PANEL;
  return turned + <usize>max(N, V) * PANEL;
}

/** Keys of the tokens before `block`, decayed to its start, `[BLOCK * block][N]`. */
// @ts-ignore: decorator
@inline
export function written(block: i32): usize {
  return earlier + <usize>(((block * (block - 1)) / 2) * BLOCK) * N4;
}

/** Rows of A and P of a block. */
// @ts-ignore: decorator
@inline
export function panel(block: i32): usize {
  return pairs + <usize>(block * CHUNK) * PANEL;
}

/** Takes tokens `row` to `row + count` of a head in, and those that fill the last block, which do nothing. */
export function takeChunk(row: i32, count: i32, head: i32, blocks: i32): void {
  touch(keyRow(k, row, head), g * n, count, n);
  touch(keyRow(q, row, head), g * n, count, n);
  touch(headRow(values, row, head, v), h * v, count, v);
  if (kind == PER_CHANNEL) touch(headRow(decay, row, head, n), h * n, count, n);
  let at: usize = 0, to = vals;
  for (let i = 0; i < blocks * BLOCK; i++, at += N4, to += V4) {
    const some = i < count;
    take(keyRow(k, row + i, head), some ? n : 0, keys + at, N, 1);
    take(keyRow(q, row + i, head), some ? n : 0, queries + at, N, scale);
    take(headRow(values, row + i, head, v), some ? v : 0, to, V, 1);
    store<f32>(rates + (<usize>i << 2), some ? load<f32>(headRow(beta, row + i, head, 1)) : 0);
    if (kind == PER_CHANNEL) take(headRow(decay, row + i, head, n), some ? n : 0, decays + at, N, 1);
    else fillRow(decays + at, kind == PER_HEAD && some ? load<f32>(headRow(decay, row + i, head, 1)) : 0);
  }
  exponentials(decays, decays + <usize>(blocks * BLOCK) * N4);
}

/** Reads a number of each cache line: memory answers many such reads at once, but few of those of a copy. */
export function touch(from: usize, step: i32, rows: i32, width: i32): void {
  const bytes = <usize>width << 2;
  let x: i32 = 0;
  for (; rows > 0; rows--, from += <usize>step << 2)
    for (let at = from; at < from + bytes; at += 64) x |= load<i32>(at);
  store<i32>(partial, x);
}

function fillRow(to: usize, x: f32): void {
  const y = f32x4.splat(x);
  for (const end = to + N4; to < end; to += 16) v128.store(to, y);
}

function exponentials(x: usize, end: usize): void {
  for (; x < end; x += 32) {
    const a = exp4(v128.load(x)), b = exp4(v128.load(x, 16));
    v128.store(x, a);
    v128.store(x, b, 16);
  }
}

/** Fills all that is named above from the tokens taken in. */
export function build(blocks: i32): void {
  for (let at = starts; at < starts + N4; at += 16) v128.store(at, f32x4.splat(1));
  for (let block = 0; block < blocks; block++) {
    const start = starts + <usize>block * N4, first = <usize>(block * BLOCK) * N4;
    const to = panel(block), rows = block * BLOCK, all = <usize>(block * LANES) * N4;
    // The row of ones that `starts` begins with: nothing has decayed at a block's start.
    let before = starts;
    for (let i = 0, at = first, to = all; i < BLOCK; i++, at += N4, to += N4) {
      advance(decays + at, before, since + at);
      before = since + at;
      weigh(keys + at, before, start, near + to, far + to);
      weigh(queries + at, before, start, near + to + <usize>BLOCK * N4, far + to + <usize>BLOCK * N4);
    }
    advance(start, before, start + N4);
    if (rows) {
      turn(near + all, N, N4);
      product(rows, LANES, N, written(block), N4, 4, turned, PANEL, to, PANEL, 0);
      for (let j = 0; j < rows; j++)
        advance(written(block) + <usize>j * N4, before, written(block + 1) + <usize>j * N4);
    }
    within(first, to + <usize>rows * PANEL, written(block + 1) + <usize>rows * N4);
  }
}

/** c = a b, N floats. */
function advance(a: usize, b: usize, c: usize): void {
  for (const end = c + N4; c < end; a += 32, b += 32, c += 32) {
    const x = f32x4.mul(v128.load(a), v128.load(b)), y = f32x4.mul(v128.load(a, 16), v128.load(b, 16));
    v128.store(c, x);
    v128.store(c, y, 16);
  }
}

/** y = x a, z = x a b. */
function weigh(x: usize, a: usize, b: usize, y: usize, z: usize): void {
  for (const end = x + N4; x < end; x += 32, a += 32, b += 32, y += 32, z += 32) {
    const s = f32x4.mul(v128.load(x), v128.load(a)), t = f32x4.mul(v128.load(x, 16), v128.load(a, 16));
    v128.store(y, s);
    v128.store(y, t, 16);
    v128.store(z, f32x4.mul(s, v128.load(b)));
    v128.store(z, f32x4.mul(t, v128.load(b, 16)), 16);
  }
}

/** LANES rows of `width` floats, `step` bytes apart, become the columns of `turned`. */
export function turn(from: usize, width: i32, step: usize): void {
  for (let to = turned; to < turned + PANEL; to += 16, from += 4 * step)
    lift4(from, from + step, from + 2 * step, from + 3 * step, width, to, PANEL, 1);
}

/** The block's own pairs, and its keys decayed to its end in `last`. A is 0 where j >= i, P where j > i. */
function within(first: usize, to: usize, last: usize): void {
  memory.fill(to, 0, <usize>BLOCK * PANEL);
  const end = first + <usize>BLOCK * N4;
  // Two earlier tokens at a time: each later one is then read once for both.
  for (; first < end; first += 2 * N4, to += 2 * PANEL + 8, last += 2 * N4) {
    const next = first + N4;
    begin(keys + first, queries + first, last);
    store<f32>(to, sumAt(partial), BLOCK * 4);
    pair(last, decays + next, keys + next, queries + next);
    store<f32>(to, sumAt(partial), 4);
    store<f32>(to, sumAt(partial + 32), BLOCK * 4 + 4);
    begin(keys + next, queries + next, last + N4);
    store<f32>(to, sumAt(partial), PANEL + BLOCK * 4 + 4);
    for (let i = next + N4, at = to + 8; i < end; i += N4, at += 4) {
      twoPairs(last, last + N4, decays + i, keys + i, queries + i);
      store<f32>(at, sumAt(partial));
      store<f32>(at, sumAt(partial + 32), BLOCK * 4);
      store<f32>(at, sumAt(partial + 64), PANEL);
      store<f32>(at, sumAt(partial + 96), PANEL + BLOCK * 4);
    }
  }
}

/** Sum of eight floats. */
// @ts-ignore: decorator
@inline
export function sumAt(at: usize): f32 {
  return sum4(f32x4.add(v128.load(at), v128.load(at, 16)));
}

/** x = key; its product with a query, in eight sums. */
function begin(key: usize, query: usize, x: usize): void {
  let p0 = f32x4.splat(0), p1 = f32x4.splat(0);
  for (const end = x + N4; x < end; x += 32, key += 32, query += 32) {
    const y = v128.load(key), z = v128.load(key, 16);
    v128.store(x, y);
    v128.store(x, z, 16);
    p0 = madd(y, v128.load(query), p0);
    p1 = madd(z, v128.load(query, 16), p1);
  }
  v128.store(partial, p0);
  v128.store(partial, p1, 16);
}

/** x = x e; its products with a key and a query, in eight sums each. */
function pair(x: usize, e: usize, key: usize, query: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), p0 = f32x4.splat(0), p1 = f32x4.splat(0);
  for (const end = x + N4; x < end; x += 32, e += 32, key += 32, query += 32) {
    const y = f32x4.mul(v128.load(x), v128.load(e)), z = f32x4.mul(v128.load(x, 16), v128.load(e, 16));
    v128.store(x, y);
    v128.store(x, z, 16);
    a0 = madd(y, v128.load(key), a0);
    a1 = madd(z, v128.load(key, 16), a1);
    p0 = madd(y, v128.load(query), p0);
    p1 = madd(z, v128.load(query, 16), p1);
  }
  v128.store(partial, a0);
  v128.store(partial, a1, 16);
  v128.store(partial, p0, 32);
  v128.store(partial, p1, 48);
}

/** As `pair`, of x and of y. */
function twoPairs(x: usize, y: usize, e: usize, key: usize, query: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), p0 = f32x4.splat(0), p1 = f32x4.splat(0);
  let b0 = f32x4.splat(0), b1 = f32x4.splat(0), q0 = f32x4.splat(0), q1 = f32x4.splat(0);
  for (const end = x + N4; x < end; x += 32, y += 32, e += 32, key += 32, query += 32) {
    const e0 = v128.load(e), e1 = v128.load(e, 16);
    const x0 = f32x4.mul(v128.load(x), e0), x1 = f32x4.mul(v128.load(x, 16), e1);
    v128.store(x, x0);
    v128.store(x, x1, 16);
    const y0 = f32x4.mul(v128.load(y), e0), y1 = f32x4.mul(v128.load(y, 16), e1);
    v128.store(y, y0);
    v128.store(y, y1, 16);
    const k0 = v128.load(key), k1 = v128.load(key, 16);
    a0 = madd(x0, k0, a0);
    a1 = madd(x1, k1, a1);
    b0 = madd(y0, k0, b0);
    b1 = madd(y1, k1, b1);
    const s0 = v128.load(query), s1 = v128.load(query, 16);
    p0 = madd(x0, s0, p0);
    p1 = madd(x1, s1, p1);
    q0 = madd(y0, s0, q0);
    q1 = madd(y1, s1, q1);
  }
  v128.store(partial, a0);
  v128.store(partial, a1, 16);
  v128.store(partial, p0, 32);
  v128.store(partial, p1, 48);
  v128.store(partial, b0, 64);
  v128.store(partial, b1, 80);
  v128.store(partial, q0, 96);
  v128.store(partial, q1, 112);
}
