// One row of activations times a panel of nibbles where the machine multiplies bytes in pairs, whose sums have 16 bits: processors
// without an instruction that V8 would take for four bytes at once. Eight such sums of nibbles fit in 16 bits and are widened
// together. Activations lie as often as four rows want them, so that what is read lies side by side; V8 then joins vectors that
// are stored side by side, for which sums pass through memory. Whole numbers are exact: sums are those of `dot`, bit for bit.
import { Q4_0, Q4_1, Q4_K } from "../../tensor/format";
import { madd } from "../simd.as";
import { quantiseRow } from "./activate.as";
import { halfBias, halfMask, nibbleMask, quickHalves } from "./half.as";
import { ACTIVATED } from "./size";
import { unsigned4 } from "./spread.as";

/** Bytes at the end of a row's room for the sums of two blocks on their way. */
const SUMS: usize = 64;

/** Whether weights of this format are multiplied so, for rows of this width. */
// @ts-ignore: decorator
@inline
export function isShort(format: i32, width: i32): bool {
  if (!ASC_FEATURE_RELAXED_SIMD || 6 * width > <i32>ACTIVATED - <i32>SUMS) return false;
  return format == Q4_0 || format == Q4_1 || format == Q4_K;
}

/** Where the copies lie: behind the quantised numbers and their records. */
// @ts-ignore: decorator
@inline
function copies(x: usize, width: i32): usize {
  return x + (<usize>width << 1);
}

/** Puts a row of activations, `step` bytes apart, to `x`, and its copies behind it. `spare`: 4 * width bytes. */
export function activateShort(x: usize, from: usize, step: usize, width: i32, spare: usize): void {
  quantiseRow(x, from, step, width, spare);
  let to = copies(x, width), record = x + <usize>width;
  // What minima are multiplied by: a block's sum times its scale.
  for (const end = record + <usize>(width >> 1); record < end; record += 16)
    store<f32>(record, load<f32>(record) * <f32>load<i32>(record, 4), 12);
  for (const end = x + <usize>width; x < end; x += 4, to += 16) v128.store(to, v128.load32_splat(x));
}

/** The sums of four rows. */
export function dotShort(format: i32, panel: usize, width: i32, x: usize): v128 {
  if (format == Q4_K) return dotRuns(panel, width, x);
  return format == Q4_0 ? dotNibbles(panel, width, x) : dotRaised(panel, width, x);
}

function dotNibbles(q: usize, width: i32, x: usize): v128 {
  const sums = x + ACTIVATED - SUMS, mask = halfMask(), bias = halfBias();
  let record = x + <usize>width, y = copies(x, width), sum = f32x4.splat(0);
  for (; width > 0; width -= 64, q += 144, y += 256, record += 32) {
    blockSums(q + 16, y, sums);
    sum = madd(scaled(lowered(sums, record), record), quickHalves(q, mask, bias), sum);
    if (width > 32) {
      blockSums(q + 80, y + 128, sums + 32);
      sum = madd(scaled(lowered(sums + 32, record + 16), record + 16), quickHalves(q + 8, mask, bias), sum);
    }
  }
  return sum;
}

/** Nibbles above minima, which lie behind the scales of their two blocks. */
function dotRaised(q: usize, width: i32, x: usize): v128 {
  const sums = x + ACTIVATED - SUMS, mask = halfMask(), bias = halfBias();
  let record = x + <usize>width, y = copies(x, width), sum = f32x4.splat(0);
  for (; width > 0; width -= 64, q += 160, y += 256, record += 32) {
    blockSums(q + 32, y, sums);
    sum = madd(v128.load32_splat(record, 12), quickHalves(q + 16, mask, bias), sum);
    sum = madd(scaled(widened(sums), record), quickHalves(q, mask, bias), sum);
    if (width > 32) {
      blockSums(q + 96, y + 128, sums + 32);
      sum = madd(v128.load32_splat(record, 28), quickHalves(q + 24, mask, bias), sum);
      sum = madd(scaled(widened(sums + 32), record + 16), quickHalves(q + 8, mask, bias), sum);
    }
  }
  return sum;
}

/** Products of a block's nibbles, as they stand: four pairs in each lane of two vectors. */
// @ts-ignore: decorator
@inline
function blockSums(q: usize, y: usize, to: usize): void {
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48), nibble = nibbleMask();
  let a = pairs(v128.load(y), v128.and(p0, nibble)), b = pairs(v128.load(y, 16), v128.and(p1, nibble));
  a = i16x8.add(a, pairs(v128.load(y, 32), v128.and(p2, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 48), v128.and(p3, nibble)));
  a = i16x8.add(a, pairs(v128.load(y, 64), upper(p0, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 80), upper(p1, nibble)));
  a = i16x8.add(a, pairs(v128.load(y, 96), upper(p2, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 112), upper(p3, nibble)));
  v128.store(to, a);
  v128.store(to, b, 16);
}

function dotRuns(q: usize, width: i32, x: usize): v128 {
  const sums = x + ACTIVATED - SUMS, mask = halfMask(), bias = halfBias();
  let record = x + <usize>width, y = copies(x, width), sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 592) {
    let f = f32x4.splat(0), g = f32x4.splat(0), scales = q + 16;
    for (let at = q + 80; at < q + 592; at += 128, y += 256, scales += 16, record += 32) {
      runSums(at, y, sums);
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
function runSums(q: usize, y: usize, to: usize): void {
  const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48), nibble = nibbleMask();
  const p4 = v128.load(q, 64), p5 = v128.load(q, 80), p6 = v128.load(q, 96), p7 = v128.load(q, 112);
  let a = pairs(v128.load(y), v128.and(p0, nibble)), b = pairs(v128.load(y, 16), v128.and(p1, nibble));
  a = i16x8.add(a, pairs(v128.load(y, 32), v128.and(p2, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 48), v128.and(p3, nibble)));
  a = i16x8.add(a, pairs(v128.load(y, 64), v128.and(p4, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 80), v128.and(p5, nibble)));
  a = i16x8.add(a, pairs(v128.load(y, 96), v128.and(p6, nibble)));
  b = i16x8.add(b, pairs(v128.load(y, 112), v128.and(p7, nibble)));
  let c = pairs(v128.load(y, 128), upper(p0, nibble)), d = pairs(v128.load(y, 144), upper(p1, nibble));
  c = i16x8.add(c, pairs(v128.load(y, 160), upper(p2, nibble)));
  d = i16x8.add(d, pairs(v128.load(y, 176), upper(p3, nibble)));
  c = i16x8.add(c, pairs(v128.load(y, 192), upper(p4, nibble)));
  d = i16x8.add(d, pairs(v128.load(y, 208), upper(p5, nibble)));
  c = i16x8.add(c, pairs(v128.load(y, 224), upper(p6, nibble)));
  d = i16x8.add(d, pairs(v128.load(y, 240), upper(p7, nibble)));
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
}

// @ts-ignore: decorator
@inline
function upper(p: v128, nibble: v128): v128 {
  return v128.and(i16x8.shr_u(p, 4), nibble);
}

/** Sums of neighbouring products, at most 2 x 127 x 15. */
// @ts-ignore: decorator
@inline
function pairs(y: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(y, w);
  return w;
}

/** A block's sums in 32 bits. */
// @ts-ignore: decorator
@inline
function widened(sums: usize): v128 {
  return i32x4.extadd_pairwise_i16x8_s(i16x8.add(v128.load(sums), v128.load(sums, 16)));
}

/** A block's sums, of nibbles that stand 8 above their numbers. */
// @ts-ignore: decorator
@inline
function lowered(sums: usize, record: usize): v128 {
  return i32x4.sub(widened(sums), i32x4.shl(v128.load32_splat(record, 4), 3));
}

/** A block's sums times the scale of its activations. */
// @ts-ignore: decorator
@inline
function scaled(s: v128, record: usize): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(s), v128.load32_splat(record));
}
