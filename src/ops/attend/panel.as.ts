// Copies of operands in the order in which the tiles read them. "Lifted" means transposed: the width runs first.
import { COLUMNS } from "../einsum/micro.as";
import { loadPart } from "../simd.as";
import { WIDTH, padRows, sixes } from "./tile.as";

/** Four rows of `e` floats become e rows of four, `step` bytes apart, times `factor`. */
export function lift4(r0: usize, r1: usize, r2: usize, r3: usize, e: i32, to: usize, step: usize, factor: f32): void {
  const x = f32x4.splat(factor);
  const end = r0 + ((<usize>e << 2) & ~15);
  for (; r0 < end; r0 += 16, r1 += 16, r2 += 16, r3 += 16) {
    const a = v128.load(r0), b = v128.load(r1), c = v128.load(r2), d = v128.load(r3);
    const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const ef = v128.shuffle<f32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    v128.store(to, f32x4.mul(x, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5)));
    to += step;
    v128.store(to, f32x4.mul(x, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7)));
    to += step;
    v128.store(to, f32x4.mul(x, v128.shuffle<f32>(ef, gh, 0, 1, 4, 5)));
    to += step;
    v128.store(to, f32x4.mul(x, v128.shuffle<f32>(ef, gh, 2, 3, 6, 7)));
    to += step;
  }
  for (let rest = e & 3; rest > 0; rest--, r0 += 4, r1 += 4, r2 += 4, r3 += 4, to += step) {
    store<f32>(to, factor * load<f32>(r0));
    store<f32>(to, factor * load<f32>(r1), 4);
    store<f32>(to, factor * load<f32>(r2), 8);
    store<f32>(to, factor * load<f32>(r3), 12);
  }
}

/** Two rows of `e` floats become e rows of two, `step` bytes apart. */
function lift2(r0: usize, r1: usize, e: i32, to: usize, step: usize): void {
  const end = r0 + ((<usize>e << 2) & ~15);
  for (; r0 < end; r0 += 16, r1 += 16) {
    const a = v128.load(r0), b = v128.load(r1);
    const low = v128.shuffle<f32>(a, b, 0, 4, 1, 5), high = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    v128.store_lane<u64>(to, low, 0);
    v128.store_lane<u64>(to + step, low, 1);
    to += 2 * step;
    v128.store_lane<u64>(to, high, 0);
    v128.store_lane<u64>(to + step, high, 1);
    to += 2 * step;
  }
  for (let rest = e & 3; rest > 0; rest--, r0 += 4, r1 += 4, to += step) {
    store<f32>(to, load<f32>(r0));
    store<f32>(to, load<f32>(r1), 4);
  }
}

/**
 * Keys for `tile` with k along the width: `n` rows of `e` floats, `stride` bytes apart, at column `from` of panels
 * `[width][rows]`. Rows that fill the last panel repeat the last one.
 */
export function liftRows(base: usize, stride: usize, n: i32, e: i32, to: usize, width: i32, from: i32): void {
  const six = sixes(n);
  const all = padRows(n);
  const last = base + <usize>(n - 1) * stride;
  for (let j = 0; j < all; ) {
    const rows = j < six ? 6 : 4;
    const step = <usize>rows << 2;
    const at = to + ((<usize>(j * width + rows * from)) << 2);
    const r = base + <usize>j * stride;
    lift4(r, min(r + stride, last), min(r + 2 * stride, last), min(r + 3 * stride, last), e, at, step, 1);
    if (rows == 6) lift2(min(r + 4 * stride, last), min(r + 5 * stride, last), e, at + 16, step);
    j += rows;
  }
}

/**
 * Keys or values for `tile` with k along the rows: `n` rows of `e` floats, `stride` bytes apart, as panels `[n][6 or 4]`,
 * filled up with zeros.
 */
export function copyRows(base: usize, stride: usize, n: i32, e: i32, to: usize): void {
  const six = sixes(e);
  const all = padRows(e);
  for (let i = 0; i < all; ) {
    let from = base + (<usize>i << 2);
    const left = e - i;
    if (i < six) {
      if (left >= 6) {
        for (let j = 0; j < n; j++, from += stride, to += 24) {
          v128.store(to, v128.load(from));
          store<u64>(to, load<u64>(from, 16), 16);
        }
      } else {
        for (let j = 0; j < n; j++, from += stride, to += 24) {
          v128.store(to, v128.load(from));
          store<f32>(to, load<f32>(from, 16), 16);
          store<f32>(to, 0, 20);
        }
      }
      i += 6;
    } else {
      if (left >= 4) for (let j = 0; j < n; j++, from += stride, to += 16) v128.store(to, v128.load(from));
      else for (let j = 0; j < n; j++, from += stride, to += 16) v128.store(to, loadPart(from, left, 0));
      i += 4;
    }
  }
}

/** One row of `e` floats (all zero where `from` is 0) as row `row` of panels `[rows][COLUMNS]`, filled up with zeros. */
export function copyAcross(from: usize, e: i32, to: usize, rows: i32, row: i32): void {
  to += <usize>row * WIDTH;
  const next = <usize>rows * WIDTH;
  let left = from ? e : 0;
  for (; left >= COLUMNS; left -= COLUMNS, from += WIDTH, to += next) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    if (WIDE) v128.store(to, v128.load(from, 32), 32);
    if (WIDE) v128.store(to, v128.load(from, 48), 48);
  }
  for (let rest = e - (from ? e - left : 0); rest > 0; rest -= COLUMNS, left -= COLUMNS, to += next)
    for (let c = 0; c < COLUMNS; c += 4) v128.store(to + (<usize>c << 2), loadPart(from + (<usize>c << 2), left - c, 0));
}

/** Four lanes of a panel [e][COLUMNS], times `factors`, written out as rows of `e` floats; those at 0 are left out. */
export function lower4(from: usize, e: i32, factors: v128, r0: usize, r1: usize, r2: usize, r3: usize): void {
  let left = e;
  if (r3)
    for (; left >= 4; left -= 4, from += 4 * WIDTH, r0 += 16, r1 += 16, r2 += 16, r3 += 16) {
      const a = f32x4.mul(v128.load(from), factors), b = f32x4.mul(v128.load(from + WIDTH), factors);
      const c = f32x4.mul(v128.load(from + 2 * WIDTH), factors), d = f32x4.mul(v128.load(from + 3 * WIDTH), factors);
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
      const ef = v128.shuffle<f32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      v128.store(r0, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
      v128.store(r1, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
      v128.store(r2, v128.shuffle<f32>(ef, gh, 0, 1, 4, 5));
      v128.store(r3, v128.shuffle<f32>(ef, gh, 2, 3, 6, 7));
    }
  for (let i: usize = 0; left > 0; left--, i += 4, from += WIDTH) {
    const x = f32x4.mul(v128.load(from), factors);
    store<f32>(r0 + i, f32x4.extract_lane(x, 0));
    if (r1) store<f32>(r1 + i, f32x4.extract_lane(x, 1));
    if (r2) store<f32>(r2 + i, f32x4.extract_lane(x, 2));
    if (r3) store<f32>(r3 + i, f32x4.extract_lane(x, 3));
  }
}
