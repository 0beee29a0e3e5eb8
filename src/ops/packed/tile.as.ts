// The innermost loop of products of whole numbers: 4 rows of activations by PANELS panels of a weight. 16-bit numbers are
// multiplied two by two, which V8 makes 256-bit code of; what a product of 8-bit numbers takes beside is not shared by rows (LOG.md).
// Of two neighbours the upper is stored first: V8 makes one store of them then, and one and a half otherwise.
import { madd } from "../simd.as";
import { TOGETHER } from "./size";

/** Panels that a tile takes at once: 16 accumulators, which fit 16 registers only after revectorisation, or 8. */
export const PANELS: i32 = WIDE ? TOGETHER : 2;
/** Bytes of the scales of a block of each panel. */
export const LANES: usize = PANELS << 4;
/** Bytes of what belongs to a block of TILE rows of activations: their scales, starts of both halves, sums times scales. */
export const RECORD: usize = 64;

/** s + products of pairs. */
// @ts-ignore: decorator
@inline
function dots(w: v128, x: v128, s: v128): v128 {
  return i32x4.add(s, i32x4.dot_i16x8_s(w, x));
}

/** sum + s scaled by that of the activations, then of the weights. */
// @ts-ignore: decorator
@inline
function put(sum: usize, by: v128, scales: usize, s0: v128, s1: v128, s2: v128, s3: v128): void {
  const f0 = madd(f32x4.mul(f32x4.convert_i32x4_s(s0), by), v128.load(scales), v128.load(sum));
  const f1 = madd(f32x4.mul(f32x4.convert_i32x4_s(s1), by), v128.load(scales, 16), v128.load(sum, 16));
  v128.store(sum, f1, 16);
  v128.store(sum, f0);
  if (!WIDE) return;
  const f2 = madd(f32x4.mul(f32x4.convert_i32x4_s(s2), by), v128.load(scales, 32), v128.load(sum, 32));
  const f3 = madd(f32x4.mul(f32x4.convert_i32x4_s(s3), by), v128.load(scales, 48), v128.load(sum, 48));
  v128.store(sum, f3, 48);
  v128.store(sum, f2, 32);
}

/** g + minima times x, which is the same for all rows of the weight. */
// @ts-ignore: decorator
@inline
function raise(g: usize, x: v128, minima: usize): void {
  const f0 = madd(x, v128.load(minima), v128.load(g));
  const f1 = madd(x, v128.load(minima, 16), v128.load(g, 16));
  v128.store(g, f1, 16);
  v128.store(g, f0);
  if (!WIDE) return;
  const f2 = madd(x, v128.load(minima, 32), v128.load(g, 32));
  const f3 = madd(x, v128.load(minima, 48), v128.load(g, 48));
  v128.store(g, f3, 48);
  v128.store(g, f2, 32);
}

/**
 * Adds `blocks` blocks of `pairs` pairs of columns to the sums of `rows` (2 or 4) rows of activations. `w`: for each pair the panels'
 * rows; `x`: for each pair the rows of activations, a block every 256 bytes; `start` (a half's within a record) and `record` go on by
 * RECORD, `scales` and `minima` by LANES. Where `raised`, the sums over minima go to `g`. Sums of a row are LANES apart.
 */
// @ts-ignore: decorator
@inline
function tile(
  rows: i32, pairs: i32, raised: bool, blocks: i32, w: usize, scales: usize, minima: usize, x: usize, start: usize, record: usize,
  sum: usize, g: usize,
): void {
  for (const last = scales + <usize>blocks * LANES; scales < last; scales += LANES) {
    let a0 = v128.load32_splat(start), a1 = a0, a2 = a0, a3 = a0;
    let b0 = v128.load32_splat(start, 4), b1 = b0, b2 = b0, b3 = b0;
    let c0 = rows > 2 ? v128.load32_splat(start, 8) : a0, c1 = c0, c2 = c0, c3 = c0;
    let d0 = rows > 2 ? v128.load32_splat(start, 12) : a0, d1 = d0, d2 = d0, d3 = d0;
    const end = w + <usize>pairs * LANES;
    for (let y = x; w < end; y += 16, w += LANES) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      const w2 = WIDE ? v128.load(w, 32) : w0;
      const w3 = WIDE ? v128.load(w, 48) : w1;
      let two = v128.load32_splat(y);
      a0 = dots(w0, two, a0);
      a1 = dots(w1, two, a1);
      if (WIDE) a2 = dots(w2, two, a2);
      if (WIDE) a3 = dots(w3, two, a3);
      two = v128.load32_splat(y, 4);
      b0 = dots(w0, two, b0);
      b1 = dots(w1, two, b1);
      if (WIDE) b2 = dots(w2, two, b2);
      if (WIDE) b3 = dots(w3, two, b3);
      if (rows > 2) {
        two = v128.load32_splat(y, 8);
        c0 = dots(w0, two, c0);
        c1 = dots(w1, two, c1);
        if (WIDE) c2 = dots(w2, two, c2);
        if (WIDE) c3 = dots(w3, two, c3);
        two = v128.load32_splat(y, 12);
        d0 = dots(w0, two, d0);
        d1 = dots(w1, two, d1);
        if (WIDE) d2 = dots(w2, two, d2);
        if (WIDE) d3 = dots(w3, two, d3);
      }
    }
    if (raised) {
      raise(g, v128.load32_splat(record, 48), minima);
      raise(g + LANES, v128.load32_splat(record, 52), minima);
      if (rows > 2) raise(g + 2 * LANES, v128.load32_splat(record, 56), minima);
      if (rows > 2) raise(g + 3 * LANES, v128.load32_splat(record, 60), minima);
      minima += LANES;
    }
    put(sum, v128.load32_splat(record), scales, a0, a1, a2, a3);
    put(sum + LANES, v128.load32_splat(record, 4), scales, b0, b1, b2, b3);
    if (rows > 2) put(sum + 2 * LANES, v128.load32_splat(record, 8), scales, c0, c1, c2, c3);
    if (rows > 2) put(sum + 3 * LANES, v128.load32_splat(record, 12), scales, d0, d1, d2, d3);
    x += 256;
    start += RECORD;
    record += RECORD;
  }
}

// A function for each kind: where one body served several, Binaryen would decide between them in the loop.

export function addBlocks4(blocks: i32, w: usize, scales: usize, x: usize, record: usize, sum: usize): void {
  tile(4, 16, false, blocks, w, scales, 0, x, record + 16, record, sum, 0);
}

export function addBlocks2(blocks: i32, w: usize, scales: usize, x: usize, record: usize, sum: usize): void {
  tile(2, 16, false, blocks, w, scales, 0, x, record + 16, record, sum, 0);
}

export function addRaised4(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, sum: usize, g: usize,
): void {
  tile(4, 16, true, blocks, w, scales, minima, x, record + 16, record, sum, g);
}

export function addRaised2(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, sum: usize, g: usize,
): void {
  tile(2, 16, true, blocks, w, scales, minima, x, record + 16, record, sum, g);
}

export function addHalves4(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, sum: usize): void {
  tile(4, 8, false, blocks, w, scales, 0, x, start, record, sum, 0);
}

export function addHalves2(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, sum: usize): void {
  tile(2, 8, false, blocks, w, scales, 0, x, start, record, sum, 0);
}
