// Attention of a few queries over many keys: a token being generated. All groups are taken together, so that memory is read
// in order and once; nothing is laid out anew, and sums run along the widths, four keys at a time.
import { loadPart, madd, max4, storePart, sum4 } from "../simd.as";
import { touch } from "../touch.as";
import {
  E,
  block,
  blockRow,
  blockStride,
  V,
  firstSeen,
  groups,
  groupsOf,
  keysPerPiece,
  lastSeen,
  m,
  openBlock,
  openRow,
  queryOf,
  rowAt,
  s,
  setBlocks,
  stick,
  t,
  terms,
  values,
  widthOf,
} from "./call.as";
import { addPair, dotPair } from "./pair.as";
import { exp2Once } from "./softmax.as";
import { breakRow } from "./stick.as";

// Sixteen sums of four floats on their way from one function to another.
let partial: usize = 0;
// Of every row of every group, one after the other: the scaled query [E], and scores [block].
let queries: usize = 0;
let scores: usize = 0;
// Its result: maximum, sum of powers of two, V floats of unfinished output; `step` bytes between rows.
let result: usize = 0;
let step: usize = 0;

/** Fills the results at `to` for the keys of piece `keyPiece` of sequence `b`, with queries times `factor`. */
export function attendFew(b: i32, keyPiece: i32, factor: f32, space: usize, table: usize, to: usize, next: usize): void {
  const rows = t * m, all = groups * rows;
  partial = space;
  queries = partial + 256;
  scores = queries + ((<usize>(all * E)) << 2);
  setBlocks(scores + ((<usize>(all * block)) << 2));
  result = to;
  step = next;
  scaleQueries(b, rows, factor);
  for (let r = 0; r < all; r++) {
    const at = result + <usize>r * step;
    openRow(at, 4, r / rows, r % rows, keyPiece);
    memory.fill(at + 8, 0, <usize>V << 2);
  }
  const key0 = keyPiece * keysPerPiece, key1 = min(s, key0 + keysPerPiece);
  const from = max(key0, firstSeen(0)), end = min(key1, lastSeen(rows - 1) + 1);
  const first = from - ((from - key0) % block);
  const blocks = (max(0, end - first) + block - 1) / block;
  for (let i = 0; i < blocks; i++) {
    // A stick is broken from the newest key back, until no row has anything left.
    const start = first + (stick ? blocks - 1 - i : i) * block;
    const key = max(start, from), n = min(start + block, end) - key;
    if (stick && !someLeft(all)) break;
    openBlock(b, 0, key, n);
    scoreKeys(rows, n);
    for (let r = 0; r < all; r++) weighRow(r, r % rows, key, n, table);
    sumValues(rows, n);
  }
}

function someLeft(all: i32): bool {
  for (let r = 0; r < all; r++) if (load<f32>(result + <usize>r * step, 4) > 0) return true;
  return false;
}

function scaleQueries(b: i32, rows: i32, factor: f32): void {
  let to = queries;
  for (let group = 0; group < groups; group++)
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < terms; i++) {
        const e = widthOf(i), q = rowAt(queryOf(i), e, b, group, row);
        for (let c: usize = 0; c < <usize>e << 2; c += 4, to += 4) store<f32>(to, factor * load<f32>(q + c));
      }
}

/** Bytes of the four rows to come that each group looks at, of rows that lie one after the other. */
// @ts-ignore: decorator
@inline
function shareOf(stride: usize, bytes: usize): usize {
  return stride == bytes ? (4 * stride) / groups : 0;
}

/** Scores of the `n` keys of the block, filled up to a multiple of four. */
function scoreKeys(rows: i32, n: i32): void {
  for (let i = 0, at = 0; i < terms; i++) {
    const e = widthOf(i), g = groupsOf(i), stride = blockStride(i);
    let k0 = blockRow(i);
    const last = k0 + <usize>(n - 1) * stride;
    for (let j = 0; j < n; j += 4, k0 += 4 * stride) {
      const k1 = min(k0 + stride, last), k2 = min(k0 + 2 * stride, last), k3 = min(k0 + 3 * stride, last);
      let q = queries + (<usize>at << 2), to = scores + (<usize>j << 2);
      const share = j + 8 <= n ? shareOf(stride, <usize>(g * e) << 2) : 0;
      let ahead = k0 + 4 * stride;
      for (let group = 0; group < groups; group++) {
        ahead = touch(ahead, share);
        const head = <usize>((group * g) / groups * e) << 2;
        let r = 0;
        if (WIDE && !(e & 7))
          for (; r + 2 <= rows; r += 2, q += <usize>E << 3, to += <usize>block << 3) {
            const p = q + (<usize>E << 2);
            dotPair(q, p, k0 + head, k1 + head, k2 + head, k3 + head, q + (<usize>e << 2), partial);
            putScores(to, sumFours(partial), i);
            putScores(to + (<usize>block << 2), sumFours(partial + 128), i);
          }
        for (; r < rows; r++, q += <usize>E << 2, to += <usize>block << 2)
          putScores(to, dot4(q, k0 + head, k1 + head, k2 + head, k3 + head, e), i);
      }
    }
    at += e;
  }
}

/** Scores of four keys, which the terms after the first add to. */
// @ts-ignore: decorator
@inline
function putScores(to: usize, x: v128, term: i32): void {
  v128.store(to, term ? f32x4.add(x, v128.load(to)) : x);
}

/** The sums of four times eight floats. */
// @ts-ignore: decorator
@inline
function sumFours(from: usize): v128 {
  return sums4(
    f32x4.add(v128.load(from), v128.load(from, 16)),
    f32x4.add(v128.load(from, 32), v128.load(from, 48)),
    f32x4.add(v128.load(from, 64), v128.load(from, 80)),
    f32x4.add(v128.load(from, 96), v128.load(from, 112)),
  );
}

/** The sum of each of four vectors' lanes. */
// @ts-ignore: decorator
@inline
function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/**
 * Products of one row with four, each summed over `e`. The sums pass through memory, eight floats each: that is where
 * revectorisation sees that they can be taken together.
 */
function dot4(q: usize, k0: usize, k1: usize, k2: usize, k3: usize, e: i32): v128 {
  const left = e & 7;
  dotLoop(q, k0, k1, k2, k3, q + (<usize>(e - left) << 2));
  let a = f32x4.add(v128.load(partial), v128.load(partial, 16));
  let b = f32x4.add(v128.load(partial, 32), v128.load(partial, 48));
  let c = f32x4.add(v128.load(partial, 64), v128.load(partial, 80));
  let d = f32x4.add(v128.load(partial, 96), v128.load(partial, 112));
  for (let i = e - left; i < e; i += 4) {
    const at = <usize>i << 2, n = e - i, x = loadPart(q + at, n, 0);
    a = madd(x, loadPart(k0 + at, n, 0), a);
    b = madd(x, loadPart(k1 + at, n, 0), b);
    c = madd(x, loadPart(k2 + at, n, 0), c);
    d = madd(x, loadPart(k3 + at, n, 0), d);
  }
  return sums4(a, b, c, d);
}

function dotLoop(q: usize, k0: usize, k1: usize, k2: usize, k3: usize, end: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (; q < end; q += 32, k0 += 32, k1 += 32, k2 += 32, k3 += 32) {
    const x0 = v128.load(q), x1 = v128.load(q, 16);
    a0 = madd(x0, v128.load(k0), a0);
    a1 = madd(x1, v128.load(k0, 16), a1);
    b0 = madd(x0, v128.load(k1), b0);
    b1 = madd(x1, v128.load(k1, 16), b1);
    c0 = madd(x0, v128.load(k2), c0);
    c1 = madd(x1, v128.load(k2, 16), c1);
    d0 = madd(x0, v128.load(k3), d0);
    d1 = madd(x1, v128.load(k3, 16), d1);
  }
  v128.store(partial, a0);
  v128.store(partial, a1, 16);
  v128.store(partial, b0, 32);
  v128.store(partial, b1, 48);
  v128.store(partial, c0, 64);
  v128.store(partial, c1, 80);
  v128.store(partial, d0, 96);
  v128.store(partial, d1, 112);
}

/** Scores of row `r` become weights against its new maximum; those of keys that `row` does not see, and beyond n, 0. */
function weighRow(r: i32, row: i32, key: i32, n: i32, table: usize): void {
  const s = scores + (<usize>(r * block) << 2), end = s + ((<usize>(n + 3) & ~3) << 2);
  const from = min(max(firstSeen(row) - key, 0), n), to = min(max(lastSeen(row) + 1 - key, 0), n);
  for (let j = 0; j < from; j++) store<f32>(s + (<usize>j << 2), -Infinity);
  for (let at = s + (<usize>to << 2); at < end; at += 4) store<f32>(at, -Infinity);
  const state = result + <usize>r * step;
  if (stick) {
    breakRow(s, end, state + 4, table);
    return;
  }
  const old = load<f32>(state);
  let most = f32x4.splat(old);
  for (let at = s; at < end; at += 16) most = f32x4.pmax(most, v128.load(at));
  const top = max4(most);
  if (top > old) {
    const shrink = f32x4.extract_lane(exp2Once(f32x4.splat(old - top), table), 0);
    store<f32>(state, top);
    store<f32>(state, shrink * load<f32>(state, 4), 4);
    scaleRow(state + 8, V, shrink);
  }
  let sum = f32x4.splat(0);
  const highest = f32x4.splat(top);
  for (let at = s; at < end; at += 16) {
    const w = exp2Once(f32x4.sub(v128.load(at), highest), table);
    v128.store(at, w);
    sum = f32x4.add(sum, w);
  }
  store<f32>(state, load<f32>(state, 4) + sum4(sum), 4);
}

function scaleRow(x: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (; n >= 4; n -= 4, x += 16) v128.store(x, f32x4.mul(f, v128.load(x)));
  for (; n > 0; n--, x += 4) store<f32>(x, factor * load<f32>(x));
}

/** Output += weights times the values of the `n` keys of the block. */
function sumValues(rows: i32, n: i32): void {
  let at: usize = 8;
  for (let i = terms; i < terms + values; i++) {
    const e = widthOf(i), g = groupsOf(i), stride = blockStride(i);
    let v0 = blockRow(i);
    const last = v0 + <usize>(n - 1) * stride;
    for (let j = 0; j < n; j += 4, v0 += 4 * stride) {
      const v1 = min(v0 + stride, last), v2 = min(v0 + 2 * stride, last), v3 = min(v0 + 3 * stride, last);
      let w = scores + (<usize>j << 2), o = result + at;
      const share = j + 8 <= n ? shareOf(stride, <usize>(g * e) << 2) : 0;
      let ahead = v0 + 4 * stride;
      for (let group = 0; group < groups; group++) {
        ahead = touch(ahead, share);
        const head = <usize>((group * g) / groups * e) << 2;
        let r = 0;
        if (WIDE && !(e & 7))
          for (; r + 2 <= rows; r += 2, w += <usize>block << 3, o += step << 1)
            addPair(o, step, w, <usize>block << 2, v0 + head, v1 + head, v2 + head, v3 + head, o + (<usize>e << 2));
        for (; r < rows; r++, w += <usize>block << 2, o += step)
          add4(o, w, v0 + head, v1 + head, v2 + head, v3 + head, e);
      }
    }
    at += <usize>e << 2;
  }
}

/** o += four weights times four rows of `e`. */
function add4(o: usize, weights: usize, v0: usize, v1: usize, v2: usize, v3: usize, e: i32): void {
  const w0 = v128.load_splat<f32>(weights), w1 = v128.load_splat<f32>(weights, 4);
  const w2 = v128.load_splat<f32>(weights, 8), w3 = v128.load_splat<f32>(weights, 12);
  for (const end = o + ((<usize>e << 2) & ~31); o < end; o += 32, v0 += 32, v1 += 32, v2 += 32, v3 += 32) {
    let x0 = v128.load(o), x1 = v128.load(o, 16);
    x0 = madd(w0, v128.load(v0), x0);
    x1 = madd(w0, v128.load(v0, 16), x1);
    x0 = madd(w1, v128.load(v1), x0);
    x1 = madd(w1, v128.load(v1, 16), x1);
    x0 = madd(w2, v128.load(v2), x0);
    x1 = madd(w2, v128.load(v2, 16), x1);
    x0 = madd(w3, v128.load(v3), x0);
    x1 = madd(w3, v128.load(v3, 16), x1);
    v128.store(o, x0);
    v128.store(o, x1, 16);
  }
  for (let left = e & 7; left > 0; left -= 4, o += 16, v0 += 16, v1 += 16, v2 += 16, v3 += 16) {
    let x = loadPart(o, left, 0);
    x = madd(w0, loadPart(v0, left, 0), x);
    x = madd(w1, loadPart(v1, left, 0), x);
    x = madd(w2, loadPart(v2, left, 0), x);
    x = madd(w3, loadPart(v3, left, 0), x);
    storePart(o, left, x);
  }
}
