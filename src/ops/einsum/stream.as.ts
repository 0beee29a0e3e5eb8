// At most 4 rows of A (decoding): B is read once, in the order it lies in memory, and nothing is laid out anew. The time is
// that of reading B.
import { address, alone, first, next, scratch, stride, whole } from "../../device/thread.as";
import { madd, sum4 } from "../simd.as";
import { touch } from "../touch.as";
import { FEW, WIDEST } from "./size";
import * as slot from "./slot";

/** Floats of a thread's copy of A's rows, and of its part of C: 1 MiB each of scratch. */
const MOST: i32 = FEW * WIDEST;

/**
 * Requires m <= 4, and B contiguous in n or in k. The sum runs over k in one order whatever the pieces are.
 */
export function stream(args: usize, thread: i32): void {
  const m = whole(args, slot.M);
  const n = whole(args, slot.N);
  const k = whole(args, slot.K);
  const ak = stride(args, slot.AK);
  const bk = stride(args, slot.BK);
  const bn = stride(args, slot.BN);
  const cn = stride(args, slot.CN);
  const inner = whole(args, slot.INNER);
  const batch = whole(args, slot.OUTER) * inner;
  const wide = alone() ? min(n, WIDEST) : whole(args, slot.STRIP);
  const across = (n + wide - 1) / wide;
  const x = scratch(thread);
  const y = x + (MOST << 2);
  // The batch position whose rows of A lie in x whole.
  let ready = -1;
  for (let t = first(batch * across); t < batch * across; t = next()) {
    const at = t / across;
    const j = (t - at * across) * wide;
    const columns = min(wide, n - j);
    const b1 = <usize>(at / inner);
    const b2 = <usize>at - b1 * inner;
    const a = address(args, slot.A) + b1 * stride(args, slot.OUTER_A) + b2 * stride(args, slot.INNER_A);
    const b = address(args, slot.B) + b1 * stride(args, slot.OUTER_B) + b2 * stride(args, slot.INNER_B) + <usize>j * bn;
    const c = address(args, slot.C) + b1 * stride(args, slot.OUTER_C) + b2 * stride(args, slot.INNER_C) + <usize>j * cn;
    // k in pieces only where the copy of A would not fit.
    const deep = MOST / m;
    for (let p = 0; p < k; p += deep) {
      const length = min(deep, k - p);
      if (at != ready)
        for (let i = 0; i < m; i++)
          gatherRow(x + (<usize>(i * length) << 2), a + <usize>i * stride(args, slot.AM) + <usize>p * ak, ak, length);
      const from = b + <usize>p * bk;
      if (bn == 4) addRows(m, columns, length, x, from, bk, y);
      else dotColumns(m, columns, length, x, from, bn, y);
      for (let i = 0; i < m; i++)
        scatterRow(c + <usize>i * stride(args, slot.CM), cn, y + (<usize>(i * columns) << 2), columns, whole(args, slot.ADD) | p);
    }
    ready = k > deep ? -1 : at;
  }
}

/** Copies a row with any step to one without gaps. */
export function gatherRow(to: usize, from: usize, step: usize, n: i32): void {
  if (step == 4) {
    memory.copy(to, from, <usize>n << 2);
    return;
  }
  for (; n > 0; n--, to += 4, from += step) store<f32>(to, load<f32>(from));
}

/** Sets or adds to a row with any step. */
export function scatterRow(to: usize, step: usize, from: usize, n: i32, add: i32): void {
  if (step == 4 && !add) {
    memory.copy(to, from, <usize>n << 2);
    return;
  }
  for (; n > 0; n--, from += 4, to += step) store<f32>(to, add ? load<f32>(to) + load<f32>(from) : load<f32>(from));
}

/** Columns whose eight rows of B, met once for every row of A, stay in the first-level cache. */
const SLICE: i32 = 512;
/** Columns of a row of B up to which the eight rows after those at hand are looked at meanwhile, and those that are added at a time then. */
const NARROW: i32 = 512;
const SHORT: i32 = 64;

/** y[i, :] = sum_k x[i, k] B[k, :], eight rows of B at a time so that y is touched seldom. */
export function addRows(m: i32, n: i32, k: i32, x: usize, b: usize, step: usize, y: usize): void {
  memory.fill(y, 0, <usize>(m * n) << 2);
  const slice = m == 1 ? n : SLICE;
  for (let j = 0; j < n; j += slice) {
    const skip = <usize>j << 2;
    addSlice(m, min(slice, n - j), k, x, b + skip, step, y + skip, <usize>n << 2);
  }
}

function addSlice(m: i32, n: i32, k: i32, x: usize, b: usize, step: usize, y: usize, width: usize): void {
  const row = <usize>k << 2;
  for (; k >= 8; k -= 8) {
    let xi = x;
    let yi = y;
    const ahead = n <= NARROW && step == <usize>n << 2 && k >= 16;
    for (let i = 0; i < m; i++) {
      if (ahead && i == 0) addAhead(n, xi, b, step, yi);
      else addEight(n, xi, b, step, yi);
      xi += row;
      yi += width;
    }
    x += 32;
    b += step << 3;
  }
  for (; k > 0; k--) {
    for (let i = 0; i < m; i++) addOne(n, load<f32>(x + <usize>i * row), b, y + <usize>i * width);
    x += 4;
    b += step;
  }
}

/** As `addEight`, of rows that lie one after the other, with a look at the eight after these. */
function addAhead(n: i32, x: usize, b: usize, step: usize, y: usize): void {
  let ahead = b + (step << 3);
  for (let j = 0; j < n; j += SHORT) {
    const some = min(SHORT, n - j), skip = <usize>j << 2;
    ahead = touch(ahead, <usize>some << 5);
    addEight(some, x, b + skip, step, y + skip);
  }
}

function addEight(n: i32, x: usize, b: usize, step: usize, y: usize): void {
  const x0 = v128.load_splat<f32>(x);
  const x1 = v128.load_splat<f32>(x, 4);
  const x2 = v128.load_splat<f32>(x, 8);
  const x3 = v128.load_splat<f32>(x, 12);
  const x4 = v128.load_splat<f32>(x, 16);
  const x5 = v128.load_splat<f32>(x, 20);
  const x6 = v128.load_splat<f32>(x, 24);
  const x7 = v128.load_splat<f32>(x, 28);
  const step2 = step + step;
  const step3 = step2 + step;
  let b4 = b + (step << 2);
  for (; n >= 8; n -= 8) {
    // Two vectors side by side, for revectorisation to join.
    let s = madd(x0, v128.load(b), v128.load(y));
    let t = madd(x0, v128.load(b, 16), v128.load(y, 16));
    let u = f32x4.mul(x1, v128.load(b + step));
    let v = f32x4.mul(x1, v128.load(b + step, 16));
    s = madd(x2, v128.load(b + step2), s);
    t = madd(x2, v128.load(b + step2, 16), t);
    u = madd(x3, v128.load(b + step3), u);
    v = madd(x3, v128.load(b + step3, 16), v);
    s = madd(x4, v128.load(b4), s);
    t = madd(x4, v128.load(b4, 16), t);
    u = madd(x5, v128.load(b4 + step), u);
    v = madd(x5, v128.load(b4 + step, 16), v);
    s = madd(x6, v128.load(b4 + step2), s);
    t = madd(x6, v128.load(b4 + step2, 16), t);
    u = madd(x7, v128.load(b4 + step3), u);
    v = madd(x7, v128.load(b4 + step3, 16), v);
    v128.store(y, f32x4.add(s, u));
    v128.store(y, f32x4.add(t, v), 16);
    y += 32;
    b += 32;
    b4 += 32;
  }
  for (; n > 0; n--) {
    let s = one(x0, b, load<f32>(y));
    let t = f32x4.extract_lane(x1, 0) * load<f32>(b + step);
    s = one(x2, b + step2, s);
    t = one(x3, b + step3, t);
    s = one(x4, b4, s);
    t = one(x5, b4 + step, t);
    s = one(x6, b4 + step2, s);
    t = one(x7, b4 + step3, t);
    store<f32>(y, s + t);
    y += 4;
    b += 4;
    b4 += 4;
  }
}

/** c + x b for one number, rounded like a lane of `madd`. */
// @ts-ignore: decorator
@inline
function one(x: v128, b: usize, c: f32): f32 {
  return f32x4.extract_lane(madd(x, v128.load_splat<f32>(b), f32x4.splat(c)), 0);
}

function addOne(n: i32, x: f32, b: usize, y: usize): void {
  const x0 = f32x4.splat(x);
  for (; n >= 4; n -= 4, y += 16, b += 16) v128.store(y, madd(x0, v128.load(b), v128.load(y)));
  for (; n > 0; n--, y += 4, b += 4) store<f32>(y, one(x0, b, load<f32>(y)));
}

/** y[i, j] = x[i, :] . B[:, j], where each column of B lies in one piece. */
function dotColumns(m: i32, n: i32, k: i32, x: usize, b: usize, step: usize, y: usize): void {
  const row = <usize>k << 2;
  const width = <usize>n << 2;
  // A row alone goes from column to column: a processor fetches one long read well ahead, and of short ones side by side none.
  const four = m == 1 ? 0 : n & ~3;
  let j = 0;
  for (; j < four; j += 4, b += step << 2) {
    let xi = x;
    let yi = y + (<usize>j << 2);
    let i = 0;
    for (; i + 2 <= m; i += 2) {
      dotPair(k, xi, xi + row, b, step, yi, yi + width);
      xi += row << 1;
      yi += width << 1;
    }
    if (i < m) for (let c: usize = 0; c < 4; c++) store<f32>(yi + (c << 2), dotOne(k, xi, b + c * step));
  }
  for (; j < n; j++, b += step)
    for (let i = 0; i < m; i++) store<f32>(y + <usize>i * width + (<usize>j << 2), dotOne(k, x + <usize>i * row, b));
}

/** Two rows with four columns: half the loads per product. */
function dotPair(k: i32, x: usize, z: usize, b: usize, step: usize, y: usize, w: usize): void {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  let t0 = f32x4.splat(0), t1 = f32x4.splat(0), t2 = f32x4.splat(0), t3 = f32x4.splat(0);
  let b1 = b + step;
  let b2 = b1 + step;
  let b3 = b2 + step;
  let left = k;
  for (; left >= 4; left -= 4) {
    const u = v128.load(x);
    const v = v128.load(z);
    let c = v128.load(b);
    s0 = madd(u, c, s0);
    t0 = madd(v, c, t0);
    c = v128.load(b1);
    s1 = madd(u, c, s1);
    t1 = madd(v, c, t1);
    c = v128.load(b2);
    s2 = madd(u, c, s2);
    t2 = madd(v, c, t2);
    c = v128.load(b3);
    s3 = madd(u, c, s3);
    t3 = madd(v, c, t3);
    x += 16;
    z += 16;
    b += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  store<f32>(y, ending(left, x, b, sum4(s0)));
  store<f32>(y, ending(left, x, b1, sum4(s1)), 4);
  store<f32>(y, ending(left, x, b2, sum4(s2)), 8);
  store<f32>(y, ending(left, x, b3, sum4(s3)), 12);
  store<f32>(w, ending(left, z, b, sum4(t0)));
  store<f32>(w, ending(left, z, b1, sum4(t1)), 4);
  store<f32>(w, ending(left, z, b2, sum4(t2)), 8);
  store<f32>(w, ending(left, z, b3, sum4(t3)), 12);
}

/** A row with one column. */
function dotOne(k: i32, x: usize, b: usize): f32 {
  let s = f32x4.splat(0), t = f32x4.splat(0), u = f32x4.splat(0), v = f32x4.splat(0);
  for (; k >= 16; k -= 16, x += 64, b += 64) {
    s = madd(v128.load(x), v128.load(b), s);
    t = madd(v128.load(x, 16), v128.load(b, 16), t);
    u = madd(v128.load(x, 32), v128.load(b, 32), u);
    v = madd(v128.load(x, 48), v128.load(b, 48), v);
  }
  return ending(k, x, b, sum4(f32x4.add(f32x4.add(s, u), f32x4.add(t, v))));
}

/** The last k mod 16 products. */
// @ts-ignore: decorator
@inline
function ending(k: i32, x: usize, b: usize, s: f32): f32 {
  for (; k > 0; k--, x += 4, b += 4) s += load<f32>(x) * load<f32>(b);
  return s;
}
