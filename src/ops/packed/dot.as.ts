// Four rows of a packed weight times one row of activations: four sums in the lanes of a vector. The weights are read once, in
// the order they lie; whole numbers are summed exactly within a block, then scaled.
import { BF16, F16, F8_E4M3, Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { madd } from "../simd.as";
import { dotEight } from "./eight.as";
import { BYTE_ROOT, byteMask, halfBias, halfMask, nibbleMask, pairMask, quickHalves } from "./half.as";
import { dotOne } from "./one.as";
import { dotShort, isShort } from "./short.as";
import { dotSixteen } from "./sixteen.as";
import { signed4, unsigned4 } from "./spread.as";
import { high, join, low } from "./sums.as";

/** `x`: what `activate` made of the activations, for `dots` or not; `sums`: SUMS bytes for sums on their way. */
export function dot(dots: bool, format: i32, panel: usize, width: i32, x: usize, sums: usize): v128 {
  if (format == F16 || format == BF16) return dotSixteen(format, panel, width, x, sums);
  if (format == Q8_0 && dots) return dotOne(panel, width, x, sums);
  if (format == Q8_0) return dotEight(panel, width, x, sums);
  if (isShort(format)) return dotShort(format, panel, width, x, sums);
  // From here on builds without relaxed SIMD, and bytes that are floats.
  if (format == Q4_0) return dotNibbles(panel, width, x);
  if (format == Q4_1) return dotRaised(panel, width, x);
  if (format == Q4_K) return dotRuns(panel, width, x);
  if (format == F8_E4M3) return f32x4.mul(dotBytes(panel, width, x), f32x4.splat(BYTE_ROOT));
  return dotSixes(panel, width, x);
}

function dotNibbles(q: usize, width: i32, x: usize): v128 {
  let record = x + <usize>width;
  const mask = halfMask();
  const bias = halfBias();
  const nibble = nibbleMask();
  let sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, q += 144, x += 64, record += 32) {
    sum = nibbleBlock(q + 16, q, x, record, nibble, mask, bias, sum);
    sum = nibbleBlock(q + 80, q + 8, x + 32, record + 16, nibble, mask, bias, sum);
  }
  return width > 0 ? nibbleBlock(q + 16, q, x, record, nibble, mask, bias, sum) : sum;
}

/** The whole-number products of a block's nibbles, as they stand. */
// @ts-ignore: decorator
@inline
function nibbleSums(q: usize, x: usize, nibble: v128): v128 {
  let s = i32x4.splat(0), t = s, u = s, v = s;
  for (let i: usize = 0; i < 4; i++) {
    const w = v128.load(q + (i << 4));
    const a = v128.and(w, nibble);
    const b = v128.and(i16x8.shr_u(w, 4), nibble);
    s = low(a, x + (i << 2), s);
    t = high(a, x + (i << 2), t);
    u = low(b, x + 16 + (i << 2), u);
    v = high(b, x + 16 + (i << 2), v);
  }
  return join(i32x4.add(s, u), i32x4.add(t, v));
}

// @ts-ignore: decorator
@inline
function nibbleBlock(
  q: usize, scales: usize, x: usize, record: usize, nibble: v128, mask: v128, bias: v128, sum: v128,
): v128 {
  // Nibbles stand 8 above their numbers.
  const s = i32x4.sub(nibbleSums(q, x, nibble), i32x4.shl(v128.load32_splat(record, 4), 3));
  return madd(f32x4.mul(f32x4.convert_i32x4_s(s), v128.load32_splat(record)), quickHalves(scales, mask, bias), sum);
}

function dotRaised(q: usize, width: i32, x: usize): v128 {
  let record = x + <usize>width;
  const mask = halfMask();
  const bias = halfBias();
  const nibble = nibbleMask();
  let sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, q += 160, x += 64, record += 32) {
    sum = raisedBlock(q + 32, q, x, record, nibble, mask, bias, sum);
    sum = raisedBlock(q + 96, q + 8, x + 32, record + 16, nibble, mask, bias, sum);
  }
  return width > 0 ? raisedBlock(q + 32, q, x, record, nibble, mask, bias, sum) : sum;
}

/** Nibbles above a minimum of their block, which lies 16 bytes behind the scale. */
// @ts-ignore: decorator
@inline
function raisedBlock(
  q: usize, scales: usize, x: usize, record: usize, nibble: v128, mask: v128, bias: v128, sum: v128,
): v128 {
  const s = nibbleSums(q, x, nibble);
  const all = f32x4.splat(load<f32>(record) * <f32>load<i32>(record, 4));
  sum = madd(all, quickHalves(scales + 16, mask, bias), sum);
  return madd(f32x4.mul(f32x4.convert_i32x4_s(s), v128.load32_splat(record)), quickHalves(scales, mask, bias), sum);
}

function dotRuns(q: usize, width: i32, x: usize): v128 {
  let record = x + <usize>width;
  const mask = halfMask();
  const bias = halfBias();
  const nibble = nibbleMask();
  let sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 592) {
    let f = f32x4.splat(0), g = f32x4.splat(0);
    let pairs = q + 16;
    for (let at = q + 80; at < q + 592; at += 128) {
      let s = i32x4.splat(0), t = s, u = s, v = s;
      for (let i: usize = 0; i < 8; i++) {
        const w = v128.load(at + (i << 4));
        const a = v128.and(w, nibble);
        const b = v128.and(i16x8.shr_u(w, 4), nibble);
        s = low(a, x + (i << 2), s);
        t = high(a, x + (i << 2), t);
        u = low(b, x + 32 + (i << 2), u);
        v = high(b, x + 32 + (i << 2), v);
      }
      f = madd(f32x4.mul(f32x4.convert_i32x4_s(join(s, t)), v128.load32_splat(record)), unsigned4(pairs), f);
      g = madd(f32x4.splat(load<f32>(record) * <f32>load<i32>(record, 4)), unsigned4(pairs + 4), g);
      f = madd(f32x4.mul(f32x4.convert_i32x4_s(join(u, v)), v128.load32_splat(record, 16)), unsigned4(pairs + 8), f);
      g = madd(f32x4.splat(load<f32>(record, 16) * <f32>load<i32>(record, 20)), unsigned4(pairs + 12), g);
      x += 64;
      pairs += 16;
      record += 32;
    }
    sum = madd(f, quickHalves(q, mask, bias), sum);
    sum = f32x4.sub(sum, f32x4.mul(g, quickHalves(q + 8, mask, bias)));
  }
  return sum;
}

function dotSixes(q: usize, width: i32, x: usize): v128 {
  let record = x + <usize>width;
  const mask = halfMask();
  const bias = halfBias();
  const nibble = nibbleMask();
  const upper = pairMask();
  let sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 848) {
    let f = f32x4.splat(0);
    let scales = q + 16;
    for (let half: usize = 0; half < 2; half++, x += 128, scales += 32, record += 64)
      for (let part: usize = 0; part < 2; part++)
        f = sixteens(q + 80 + (half << 8) + (part << 6), q + 592 + (half << 7) + (part << 6), x + (part << 4), scales + (part << 2), record, part, nibble, upper, f);
    sum = madd(f, quickHalves(q, mask, bias), sum);
  }
  return sum;
}

/** 16 columns of each of the four runs of a half. */
// @ts-ignore: decorator
@inline
function sixteens(q: usize, pairs: usize, x: usize, scales: usize, record: usize, part: usize, mask: v128, upper: v128, f: v128): v128 {
  let s0 = i32x4.splat(0), t0 = s0, s1 = s0, t1 = s0, s2 = s0, t2 = s0, s3 = s0, t3 = s0;
  for (let i: usize = 0; i < 4; i++) {
    const a = v128.load(q + (i << 4));
    const b = v128.load(q + 128 + (i << 4));
    const p = v128.load(pairs + (i << 4));
    const at = x + (i << 2);
    let w = v128.or(v128.and(a, mask), v128.and(i16x8.shl(p, 4), upper));
    s0 = low(w, at, s0);
    t0 = high(w, at, t0);
    w = v128.or(v128.and(b, mask), v128.and(i16x8.shl(p, 2), upper));
    s1 = low(w, at + 32, s1);
    t1 = high(w, at + 32, t1);
    w = v128.or(v128.and(i16x8.shr_u(a, 4), mask), v128.and(p, upper));
    s2 = low(w, at + 64, s2);
    t2 = high(w, at + 64, t2);
    w = v128.or(v128.and(i16x8.shr_u(b, 4), mask), v128.and(i16x8.shr_u(p, 2), upper));
    s3 = low(w, at + 96, s3);
    t3 = high(w, at + 96, t3);
  }
  const sums = record + 8 + (part << 2);
  f = scaledSum(join(s0, t0), record, sums, scales, f);
  f = scaledSum(join(s1, t1), record + 16, sums + 16, scales + 8, f);
  f = scaledSum(join(s2, t2), record + 32, sums + 32, scales + 16, f);
  return scaledSum(join(s3, t3), record + 48, sums + 48, scales + 24, f);
}

/** f + scales (s - 32 sum of activations): 6-bit numbers stand 32 above theirs. */
// @ts-ignore: decorator
@inline
function scaledSum(s: v128, record: usize, sums: usize, scales: usize, f: v128): v128 {
  const whole = i32x4.sub(s, i32x4.shl(v128.load32_splat(sums), 5));
  return madd(f32x4.mul(f32x4.convert_i32x4_s(whole), v128.load32_splat(record)), signed4(scales), f);
}

function dotBytes(q: usize, width: i32, x: usize): v128 {
  let sum = f32x4.splat(0);
  const mask = byteMask();
  for (; width > 0; width -= 128, q += 528) {
    let s = f32x4.splat(0), t = s, u = s, v = s;
    let at = q + 16;
    for (let left = min(width, 128); left > 0; left -= 4, at += 16, x += 16) {
      const w = v128.load(at);
      s = madd(v128.and(i32x4.shr_s(i32x4.shl(w, 24), 4), mask), v128.load32_splat(x), s);
      t = madd(v128.and(i32x4.shr_s(i32x4.shl(w, 16), 4), mask), v128.load32_splat(x, 4), t);
      u = madd(v128.and(i32x4.shr_s(i32x4.shl(w, 8), 4), mask), v128.load32_splat(x, 8), u);
      v = madd(v128.and(i32x4.shr_s(w, 4), mask), v128.load32_splat(x, 12), v);
    }
    sum = madd(f32x4.add(f32x4.add(s, t), f32x4.add(u, v)), v128.load(q), sum);
  }
  return sum;
}
