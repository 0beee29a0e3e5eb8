// The innermost loop of products of whole numbers: 4 rows of activations by PANELS panels of a weight. Numbers of 16 bits are
// multiplied two by two, and those of 6 bits and less as bytes, twice as many at a time, where the build has an instruction for it:
// sums of some of their products fit 16 bits. Where the machine adds products of any bytes to sums of 32 bits (`dots`, see byte.as.ts),
// all are bytes. Of two neighbours the upper is stored first: V8 makes one store of them then, and one and a half otherwise.
import { madd } from "../simd.as";
import { rounding } from "./quantise.as";
import { TOGETHER } from "./size";

/** Panels that a tile takes at once: 16 accumulators, which fit 16 registers only after revectorisation, or 8. */
export const PANELS: i32 = WIDE ? TOGETHER : 2;
/** Bytes of four columns of all panels in a widened strip, and of the scales of a block of each. */
export const LANES: usize = PANELS << 4;
/** Bytes of what belongs to a block of TILE rows of activations: their scales, starts of both halves, sums times scales. */
export const RECORD: usize = 64;

/** How numbers lie and are summed: 8 bits as the weight has them; in a strip, and with minima; 6 bits in blocks of 16. */
type Kind = i32;
const WHOLE: Kind = 0;
const LAID: Kind = 1;
const RAISED: Kind = 2;
const SIXES: Kind = 3;

// Pairs of sums of 16 bits are added by multiplying them with these.
const ONES: usize = memory.data<i16>([1], 16);

/** Whether both are multiplied as bytes. */
// @ts-ignore: decorator
@inline
export function asBytes(dots: bool, whole: bool): bool {
  return ASC_FEATURE_RELAXED_SIMD && (dots || !whole);
}

/** Of a word p, and of the next one q where there are two in a step, what meets the first activations of the step. */
// @ts-ignore: decorator
@inline
function former(dots: bool, kind: Kind, p: v128): v128 {
  return asBytes(dots, kind == WHOLE) ? p : i16x8.shl(p, 8);
}

// @ts-ignore: decorator
@inline
function latter(dots: bool, kind: Kind, p: v128, q: v128): v128 {
  return asBytes(dots, kind == WHOLE) ? q : i16x8.shr_s(p, 8);
}

/** s + products of both halves of a step. Eight products of 4 bits and 8 bits fit 16 bits, and two of 6 bits and 8 bits. */
// @ts-ignore: decorator
@inline
function sum(dots: bool, kind: Kind, ones: v128, l: v128, e: v128, h: v128, o: v128, s: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD && dots) return i32x4.relaxed_dot_i8x16_i7x16_add_s(o, h, i32x4.relaxed_dot_i8x16_i7x16_add_s(e, l, s));
  if (ASC_FEATURE_RELAXED_SIMD && kind != WHOLE) {
    const a = i16x8.relaxed_dot_i8x16_i7x16_s(e, l), b = i16x8.relaxed_dot_i8x16_i7x16_s(o, h);
    return kind == SIXES ? i32x4.add(s, i32x4.dot_i16x8_s(i16x8.add(a, b), ones)) : i16x8.add(i16x8.add(s, a), b);
  }
  return i32x4.add(i32x4.add(s, i32x4.dot_i16x8_s(l, e)), i32x4.dot_i16x8_s(h, o));
}

/**
 * Sums of 32 bits of a row, scaled by its activations' scale: what sums of 16 bits stand above theirs comes to them here. Those of
 * `dots` are read as floats, `ones` above theirs.
 */
// @ts-ignore: decorator
@inline
function scaled(dots: bool, kind: Kind, ones: v128, s: v128, start: usize, by: v128): v128 {
  if (dots) return f32x4.mul(f32x4.sub(s, ones), by);
  let whole = s;
  if (asBytes(dots, kind == WHOLE) && kind != SIXES) whole = i32x4.dot_i16x8_s(s, ones);
  if (asBytes(dots, kind == WHOLE) && kind == LAID) whole = i32x4.add(whole, v128.load32_splat(start));
  return f32x4.mul(f32x4.convert_i32x4_s(whole), by);
}

/** What a row's sums begin with. */
// @ts-ignore: decorator
@inline
function begin(dots: bool, kind: Kind, start: usize): v128 {
  return !dots && asBytes(dots, kind == WHOLE) && kind != SIXES ? i32x4.splat(0) : v128.load32_splat(start);
}

/** Adds a row's sums, scaled by its activations' scale, then by the weights'. */
// @ts-ignore: decorator
@inline
function put(
  dots: bool, kind: Kind, ones: v128, to: usize, record: usize, start: usize, scales: usize, s0: v128, s1: v128, s2: v128, s3: v128,
): void {
  const by = v128.load32_splat(record);
  const f0 = madd(scaled(dots, kind, ones, s0, start, by), v128.load(scales), v128.load(to));
  const f1 = madd(scaled(dots, kind, ones, s1, start, by), v128.load(scales, 16), v128.load(to, 16));
  v128.store(to, f1, 16);
  v128.store(to, f0);
  if (!WIDE) return;
  const f2 = madd(scaled(dots, kind, ones, s2, start, by), v128.load(scales, 32), v128.load(to, 32));
  const f3 = madd(scaled(dots, kind, ones, s3, start, by), v128.load(scales, 48), v128.load(to, 48));
  v128.store(to, f3, 48);
  v128.store(to, f2, 32);
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

/** Bytes of activations that a step takes: 4 columns of 16 bits or 8 of bytes, of TILE rows. */
const STEP: usize = 32;

/**
 * Adds `blocks` blocks to the sums of `rows` (2 or 4) rows of activations. `w`: the panels' numbers, side by side in a strip, or where
 * they are whole the first panel's, behind which those of the others lie `second`, `third`, `fourth` bytes; `x`: for each half of a step the rows of activations; `start` (a half's within
 * a record) and `record` go on by RECORD, `scales` and `minima` by LANES. Sums over minima go to `g`. Sums of a row are LANES apart.
 */
// @ts-ignore: decorator
@inline
function tile(
  dots: bool, kind: Kind, rows: i32, blocks: i32, w: usize, second: usize, third: usize, fourth: usize, scales: usize, minima: usize, x: usize,
  start: usize, record: usize, to: usize, g: usize,
): void {
  const columns = kind == SIXES ? 16 : 32;
  const on: usize = kind == WHOLE ? 16 : asBytes(dots, false) ? 2 * LANES : LANES;
  const ones = dots ? rounding() : v128.load_splat<i16>(ONES);
  const steps: usize = asBytes(dots, kind == WHOLE) ? columns >> 3 : columns >> 2;
  for (let block = 0; block < blocks; block++) {
    // Panels have the scales of two blocks before the numbers of both.
    if (kind == WHOLE && (block & 1) == 0) w += 16;
    let a0 = begin(dots, kind, start), a1 = a0, a2 = a0, a3 = a0;
    let b0 = begin(dots, kind, start + 4), b1 = b0, b2 = b0, b3 = b0;
    let c0 = rows > 2 ? begin(dots, kind, start + 8) : a0, c1 = c0, c2 = c0, c3 = c0;
    let d0 = rows > 2 ? begin(dots, kind, start + 12) : a0, d1 = d0, d2 = d0, d3 = d0;
    const end = w + steps * on;
    for (let y = x; w < end; y += STEP, w += on) {
      const p0 = v128.load(w), p1 = kind == WHOLE ? v128.load(w + second) : v128.load(w, 16);
      const p2 = !WIDE ? p0 : kind == WHOLE ? v128.load(w + third) : v128.load(w, 32);
      const p3 = !WIDE ? p1 : kind == WHOLE ? v128.load(w + fourth) : v128.load(w, 48);
      const two = asBytes(dots, kind == WHOLE), v = w + LANES;
      const l0 = former(dots, kind, p0), h0 = latter(dots, kind, p0, two ? v128.load(v) : p0);
      const l1 = former(dots, kind, p1), h1 = latter(dots, kind, p1, two ? v128.load(v, 16) : p1);
      const l2 = former(dots, kind, p2), h2 = latter(dots, kind, p2, two && WIDE ? v128.load(v, 32) : p2);
      const l3 = former(dots, kind, p3), h3 = latter(dots, kind, p3, two && WIDE ? v128.load(v, 48) : p3);
      const z = y + 16;
      let e = v128.load32_splat(y), o = v128.load32_splat(z);
      a0 = sum(dots, kind, ones, l0, e, h0, o, a0);
      a1 = sum(dots, kind, ones, l1, e, h1, o, a1);
      if (WIDE) a2 = sum(dots, kind, ones, l2, e, h2, o, a2);
      if (WIDE) a3 = sum(dots, kind, ones, l3, e, h3, o, a3);
      e = v128.load32_splat(y, 4), o = v128.load32_splat(z, 4);
      b0 = sum(dots, kind, ones, l0, e, h0, o, b0);
      b1 = sum(dots, kind, ones, l1, e, h1, o, b1);
      if (WIDE) b2 = sum(dots, kind, ones, l2, e, h2, o, b2);
      if (WIDE) b3 = sum(dots, kind, ones, l3, e, h3, o, b3);
      if (rows > 2) {
        e = v128.load32_splat(y, 8), o = v128.load32_splat(z, 8);
        c0 = sum(dots, kind, ones, l0, e, h0, o, c0);
        c1 = sum(dots, kind, ones, l1, e, h1, o, c1);
        if (WIDE) c2 = sum(dots, kind, ones, l2, e, h2, o, c2);
        if (WIDE) c3 = sum(dots, kind, ones, l3, e, h3, o, c3);
        e = v128.load32_splat(y, 12), o = v128.load32_splat(z, 12);
        d0 = sum(dots, kind, ones, l0, e, h0, o, d0);
        d1 = sum(dots, kind, ones, l1, e, h1, o, d1);
        if (WIDE) d2 = sum(dots, kind, ones, l2, e, h2, o, d2);
        if (WIDE) d3 = sum(dots, kind, ones, l3, e, h3, o, d3);
      }
    }
    if (kind == RAISED) {
      raise(g, v128.load32_splat(record, 48), minima);
      raise(g + LANES, v128.load32_splat(record, 52), minima);
      if (rows > 2) raise(g + 2 * LANES, v128.load32_splat(record, 56), minima);
      if (rows > 2) raise(g + 3 * LANES, v128.load32_splat(record, 60), minima);
      minima += LANES;
    }
    put(dots, kind, ones, to, record, start, scales, a0, a1, a2, a3);
    put(dots, kind, ones, to + LANES, record + 4, start + 4, scales, b0, b1, b2, b3);
    if (rows > 2) put(dots, kind, ones, to + 2 * LANES, record + 8, start + 8, scales, c0, c1, c2, c3);
    if (rows > 2) put(dots, kind, ones, to + 3 * LANES, record + 12, start + 12, scales, d0, d1, d2, d3);
    x += asBytes(dots, kind == WHOLE) ? 128 : 256;
    scales += LANES;
    start += RECORD;
    record += RECORD;
  }
}

// A function for each kind: where one body served several, Binaryen would decide between them in the loop.

export function addWhole4(
  blocks: i32, w: usize, second: usize, third: usize, fourth: usize, scales: usize, x: usize, record: usize, to: usize,
): void {
  tile(false, WHOLE, 4, blocks, w, second, third, fourth, scales, 0, x, record + 16, record, to, 0);
}

export function addWhole2(
  blocks: i32, w: usize, second: usize, third: usize, fourth: usize, scales: usize, x: usize, record: usize, to: usize,
): void {
  tile(false, WHOLE, 2, blocks, w, second, third, fourth, scales, 0, x, record + 16, record, to, 0);
}

export function addNibbles4(blocks: i32, w: usize, scales: usize, x: usize, record: usize, to: usize): void {
  tile(false, LAID, 4, blocks, w, 0, 0, 0, scales, 0, x, record + 16, record, to, 0);
}

export function addNibbles2(blocks: i32, w: usize, scales: usize, x: usize, record: usize, to: usize): void {
  tile(false, LAID, 2, blocks, w, 0, 0, 0, scales, 0, x, record + 16, record, to, 0);
}

export function addRaised4(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, to: usize, g: usize,
): void {
  tile(false, RAISED, 4, blocks, w, 0, 0, 0, scales, minima, x, record + 16, record, to, g);
}

export function addRaised2(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, to: usize, g: usize,
): void {
  tile(false, RAISED, 2, blocks, w, 0, 0, 0, scales, minima, x, record + 16, record, to, g);
}

export function addSixes4(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, to: usize): void {
  tile(false, SIXES, 4, blocks, w, 0, 0, 0, scales, 0, x, start, record, to, 0);
}

export function addSixes2(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, to: usize): void {
  tile(false, SIXES, 2, blocks, w, 0, 0, 0, scales, 0, x, start, record, to, 0);
}

// The same where any bytes are multiplied.

export function dotLaid4(blocks: i32, w: usize, scales: usize, x: usize, record: usize, to: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, LAID, 4, blocks, w, 0, 0, 0, scales, 0, x, record + 16, record, to, 0);
}

export function dotLaid2(blocks: i32, w: usize, scales: usize, x: usize, record: usize, to: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, LAID, 2, blocks, w, 0, 0, 0, scales, 0, x, record + 16, record, to, 0);
}

export function dotRaised4(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, to: usize, g: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, RAISED, 4, blocks, w, 0, 0, 0, scales, minima, x, record + 16, record, to, g);
}

export function dotRaised2(
  blocks: i32, w: usize, scales: usize, minima: usize, x: usize, record: usize, to: usize, g: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, RAISED, 2, blocks, w, 0, 0, 0, scales, minima, x, record + 16, record, to, g);
}

export function dotSixes4(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, to: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, SIXES, 4, blocks, w, 0, 0, 0, scales, 0, x, start, record, to, 0);
}

export function dotSixes2(blocks: i32, w: usize, scales: usize, x: usize, start: usize, record: usize, to: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile(true, SIXES, 2, blocks, w, 0, 0, 0, scales, 0, x, start, record, to, 0);
}
