// One row of activations times a panel of nibbles, whose bytes are multiplied in pairs with sums of 16 bits, on every machine: an
// instruction for four bytes at once is no faster, since most of the time goes to scales (LOG.md). Eight such sums fit and are widened
// together. V8 joins vectors that are stored side by side, the upper first, where all that is read stands before and no other
// store goes to the same place: so sums of two blocks pass through memory to be scaled at once, and activations lie so that those of
// two vectors are spread by the same shuffle. Copies of them, four times as long, would not stay in the first-level cache (LOG.md).
// Whole numbers are exact: sums are the bits of `dot` in any order.
import { Q4_0, Q4_1, Q4_K, Q6_K } from "../../tensor/format";
import { madd } from "../simd.as";
import { quantiseRow } from "./quantise.as";
import { halfBias, halfMask, nibbleMask, quickHalf, quickHalves } from "./half.as";
import { dotSix, layHalves } from "./six.as";
import { unsigned4 } from "./spread.as";

// Pairs of sums of 16 bits are added by multiplying them with these.
const ONES: usize = memory.data<i16>([1], 16);

// @ts-ignore: decorator
@inline
export function ones(): v128 {
  return v128.load_splat<i16>(ONES);
}

/** Whether weights of this format are multiplied so. */
// @ts-ignore: decorator
@inline
export function isShort(format: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD && (format == Q4_0 || format == Q4_1 || format == Q4_K || format == Q6_K);
}

/** Puts a row of activations, `step` bytes apart, to `x`: of each eight words the even ones, then the odd ones (Q6_K: see six.as.ts). `spare`: 4 * width bytes. */
export function activateShort(format: i32, x: usize, from: usize, step: usize, width: i32, spare: usize): void {
  quantiseRow(x, from, step, width, spare);
  if (format == Q6_K) return layHalves(x, width);
  const records = x + <usize>width, end = records + <usize>(width >> 1);
  layWords(x, width);
  // What minima are multiplied by: a block's sum times its scale.
  for (let record = records; record < end; record += 16) store<f32>(record, load<f32>(record) * <f32>load<i32>(record, 4), 12);
  if (format != Q4_K) spreadRecords(format, records, width >> 6, width >> 5 & 1);
}

/** Of each eight words the even ones, then the odd ones. */
export function layWords(x: usize, width: i32): void {
  for (const end = x + <usize>width; x < end; x += 32) {
    const a = v128.load(x), b = v128.load(x, 16);
    v128.store(x, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    v128.store(x, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 16);
  }
}

/** Of each two blocks both scales four times, then what is taken from their sums or what minima are multiplied by; the rest stays. */
function spreadRecords(format: i32, records: usize, two: i32, rest: i32): void {
  memory.copy(records + (<usize>two << 6), records + (<usize>two << 5), <usize>rest << 4);
  for (let i = two - 1; i >= 0; i--) {
    const from = records + (<usize>i << 5), to = records + (<usize>i << 6), a = v128.load(from), b = v128.load(from, 16);
    v128.store(to, v128.shuffle<i32>(a, a, 0, 0, 0, 0));
    v128.store(to, v128.shuffle<i32>(b, b, 0, 0, 0, 0), 16);
    if (format == Q4_0) {
      // Nibbles stand 8 above their numbers.
      v128.store(to, i32x4.shl(v128.shuffle<i32>(a, a, 1, 1, 1, 1), 3), 32);
      v128.store(to, i32x4.shl(v128.shuffle<i32>(b, b, 1, 1, 1, 1), 3), 48);
    } else {
      v128.store(to, v128.shuffle<i32>(a, a, 3, 3, 3, 3), 32);
      v128.store(to, v128.shuffle<i32>(b, b, 3, 3, 3, 3), 48);
    }
  }
}

/** The sums of four rows. */
export function dotShort(format: i32, panel: usize, width: i32, x: usize, sums: usize): v128 {
  if (format == Q6_K) return dotSix(panel, width, x, sums);
  if (format == Q4_K) return dotRuns(panel, width, x, sums);
  return format == Q4_0 ? dotNibbles(panel, width, x, sums) : dotRaised(panel, width, x, sums);
}

function dotNibbles(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias(), nibble = nibbleMask(), one = ones();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, q += 144, x += 64, record += 64) {
    blockSums(q + 16, x, nibble, sums);
    blockSums(q + 80, x + 32, nibble, sums + 32);
    const a = i32x4.sub(i32x4.dot_i16x8_s(i16x8.add(v128.load(sums), v128.load(sums, 16)), one), v128.load(record, 32));
    const b = i32x4.sub(i32x4.dot_i16x8_s(i16x8.add(v128.load(sums, 32), v128.load(sums, 48)), one), v128.load(record, 48));
    scaleTwo(q, record, a, b, mask, bias, sums);
    sum = madd(v128.load(sums, 64), v128.load(sums, 96), sum);
    sum = madd(v128.load(sums, 80), v128.load(sums, 112), sum);
  }
  if (width == 0) return sum;
  blockSums(q + 16, x, nibble, sums);
  const last = i32x4.sub(widened(sums), i32x4.shl(v128.load32_splat(record, 4), 3));
  return madd(scaled(last, record), quickHalves(q, mask, bias), sum);
}

/** Nibbles above minima, which lie behind the scales of their two blocks. */
function dotRaised(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias(), nibble = nibbleMask(), one = ones();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, q += 160, x += 64, record += 64) {
    blockSums(q + 32, x, nibble, sums);
    blockSums(q + 96, x + 32, nibble, sums + 32);
    const a = i32x4.dot_i16x8_s(i16x8.add(v128.load(sums), v128.load(sums, 16)), one);
    const b = i32x4.dot_i16x8_s(i16x8.add(v128.load(sums, 32), v128.load(sums, 48)), one);
    scaleTwo(q, record, a, b, mask, bias, sums);
    const h = v128.load(q, 16);
    const m = quickHalf(i32x4.extend_low_i16x8_u(h), mask, bias), n = quickHalf(i32x4.extend_high_i16x8_u(h), mask, bias);
    v128.store(sums, n, 144);
    v128.store(sums, m, 128);
    sum = madd(v128.load(record, 32), v128.load(sums, 128), sum);
    sum = madd(v128.load(sums, 64), v128.load(sums, 96), sum);
    sum = madd(v128.load(record, 48), v128.load(sums, 144), sum);
    sum = madd(v128.load(sums, 80), v128.load(sums, 112), sum);
  }
  if (width == 0) return sum;
  blockSums(q + 32, x, nibble, sums);
  sum = madd(v128.load32_splat(record, 12), quickHalves(q + 16, mask, bias), sum);
  return madd(scaled(widened(sums), record), quickHalves(q, mask, bias), sum);
}

/** Puts the sums of two blocks, scaled as their activations are, behind `sums`, and behind these the scales of their weights. */
// @ts-ignore: decorator
@inline
function scaleTwo(q: usize, record: usize, a: v128, b: v128, mask: v128, bias: v128, sums: usize): void {
  const h = v128.load(q);
  const d = quickHalf(i32x4.extend_low_i16x8_u(h), mask, bias), e = quickHalf(i32x4.extend_high_i16x8_u(h), mask, bias);
  const f = f32x4.mul(f32x4.convert_i32x4_s(a), v128.load(record)), g = f32x4.mul(f32x4.convert_i32x4_s(b), v128.load(record, 16));
  v128.store(sums, g, 80);
  v128.store(sums, f, 64);
  v128.store(sums, e, 112);
  v128.store(sums, d, 96);
}

/** Products of a block's nibbles, as they stand: four pairs in each lane of two vectors. */
// @ts-ignore: decorator
@inline
function blockSums(q: usize, x: usize, nibble: v128, to: usize): void {
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48);
  const e = v128.load(x), o = v128.load(x, 16);
  let a = pairs(v128.shuffle<i32>(e, e, 0, 0, 0, 0), v128.and(p0, nibble)), b = pairs(v128.shuffle<i32>(o, o, 0, 0, 0, 0), v128.and(p1, nibble));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 1, 1, 1, 1), v128.and(p2, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 1, 1, 1, 1), v128.and(p3, nibble)));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 2, 2, 2, 2), upper(p0, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 2, 2, 2, 2), upper(p1, nibble)));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 3, 3, 3, 3), upper(p2, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 3, 3, 3, 3), upper(p3, nibble)));
  v128.store(to, b, 16);
  v128.store(to, a);
}

function dotRuns(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias(), nibble = nibbleMask();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 592) {
    let f = f32x4.splat(0), g = f32x4.splat(0), scales = q + 16;
    for (let at = q + 80; at < q + 592; at += 128, x += 64, scales += 16, record += 32) {
      runSums(at, x, nibble, sums);
      f = madd(scaled(widened(sums), record), unsigned4(scales), f);
      g = madd(v128.load32_splat(record, 12), unsigned4(scales + 4), g);
      f = madd(scaled(widened(sums + 32), record + 16), unsigned4(scales + 8), f);
      g = madd(v128.load32_splat(record, 28), unsigned4(scales + 12), g);
    }
    sum = madd(f, quickHalves(q, mask, bias), sum);
    sum = f32x4.sub(sum, f32x4.mul(g, quickHalves(q + 8, mask, bias)));
  }
  return sum;
}

/** Products of two runs of 32, whose nibbles share bytes: first of the low ones, then of the high ones. */
// @ts-ignore: decorator
@inline
function runSums(q: usize, x: usize, nibble: v128, to: usize): void {
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48);
  const p4 = v128.load(q, 64), p5 = v128.load(q, 80), p6 = v128.load(q, 96), p7 = v128.load(q, 112);
  const e = v128.load(x), o = v128.load(x, 16), m = v128.load(x, 32), n = v128.load(x, 48);
  let a = pairs(v128.shuffle<i32>(e, e, 0, 0, 0, 0), v128.and(p0, nibble)), b = pairs(v128.shuffle<i32>(o, o, 0, 0, 0, 0), v128.and(p1, nibble));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 1, 1, 1, 1), v128.and(p2, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 1, 1, 1, 1), v128.and(p3, nibble)));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 2, 2, 2, 2), v128.and(p4, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 2, 2, 2, 2), v128.and(p5, nibble)));
  a = i16x8.add(a, pairs(v128.shuffle<i32>(e, e, 3, 3, 3, 3), v128.and(p6, nibble)));
  b = i16x8.add(b, pairs(v128.shuffle<i32>(o, o, 3, 3, 3, 3), v128.and(p7, nibble)));
  let c = pairs(v128.shuffle<i32>(m, m, 0, 0, 0, 0), upper(p0, nibble)), d = pairs(v128.shuffle<i32>(n, n, 0, 0, 0, 0), upper(p1, nibble));
  c = i16x8.add(c, pairs(v128.shuffle<i32>(m, m, 1, 1, 1, 1), upper(p2, nibble)));
  d = i16x8.add(d, pairs(v128.shuffle<i32>(n, n, 1, 1, 1, 1), upper(p3, nibble)));
  c = i16x8.add(c, pairs(v128.shuffle<i32>(m, m, 2, 2, 2, 2), upper(p4, nibble)));
  d = i16x8.add(d, pairs(v128.shuffle<i32>(n, n, 2, 2, 2, 2), upper(p5, nibble)));
  c = i16x8.add(c, pairs(v128.shuffle<i32>(m, m, 3, 3, 3, 3), upper(p6, nibble)));
  d = i16x8.add(d, pairs(v128.shuffle<i32>(n, n, 3, 3, 3, 3), upper(p7, nibble)));
  v128.store(to, b, 16);
  v128.store(to, a);
  v128.store(to, d, 48);
  v128.store(to, c, 32);
}

// @ts-ignore: decorator
@inline
function upper(p: v128, nibble: v128): v128 {
  return v128.and(i16x8.shr_u(p, 4), nibble);
}

/** Sums of neighbouring products, at most 2 x 127 x 15. */
// @ts-ignore: decorator
@inline
export function pairs(x: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
  return w;
}

/** A block's sums in 32 bits. */
// @ts-ignore: decorator
@inline
function widened(sums: usize): v128 {
  return i32x4.extadd_pairwise_i16x8_s(i16x8.add(v128.load(sums), v128.load(sums, 16)));
}

/** A block's sums times the scale of its activations. */
// @ts-ignore: decorator
@inline
function scaled(s: v128, record: usize): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(s), v128.load32_splat(record));
}
