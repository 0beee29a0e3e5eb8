// Packed weights as float32: for each column, the weights of a panel's four rows side by side.
import { BF16, F16, F8_E4M3, Q4_0, Q4_1, Q4_K, Q6_K } from "../../tensor/format";
import { byte4, half4, halves, topMask } from "./half.as";

/**
 * Columns `from` (a multiple of STRIP) to `from + n` (n <= STRIP) of the panel, whose rows have `width` columns, to `step`
 * bytes per column.
 */
export function spread(format: i32, panel: usize, width: i32, from: i32, n: i32, to: usize, step: usize): void {
  if (format == F16 || format == BF16) pairs(panel + (<usize>from << 3), n, to, step, format == F16);
  else if (format == F8_E4M3) bytes(panel + <usize>(from >> 7) * 528, n, to, step);
  else if (format == Q4_0) nibbles(panel + <usize>(from >> 6) * 144, n, to, step, false);
  else if (format == Q4_1) nibbles(panel + <usize>(from >> 6) * 160, n, to, step, true);
  else if (format == Q4_K) runs(panel + <usize>(from >> 8) * 592, to, step);
  else if (format == Q6_K) sixes(panel + <usize>(from >> 8) * 848, to, step);
  else spreadSigned(panel + <usize>(from >> 6) * 272, n, to, step);
}

/** F16 and BF16: each vector holds two columns, the second in the upper halves of the lanes. */
function pairs(x: usize, n: i32, to: usize, step: usize, half: bool): void {
  const upper = i32x4.splat(0xffff0000);
  for (; n > 0; n -= 2, x += 16, to += step << 1) {
    const v = v128.load(x);
    const low = i32x4.shl(v, 16);
    v128.store(to, half ? half4(low) : low);
    if (n > 1) {
      const high = v128.and(v, upper);
      v128.store(to + step, half ? half4(high) : high);
    }
  }
}

/** F8_E4M3: each vector holds four columns. */
function bytes(x: usize, n: i32, to: usize, step: usize): void {
  for (; n > 0; x += 528) {
    const scale = v128.load(x);
    let at = x + 16;
    for (let left = min(n, 128); left > 0; left -= 4, at += 16) {
      const v = v128.load(at);
      v128.store(to, f32x4.mul(byte4(i32x4.shl(v, 24)), scale));
      to += step;
      if (left > 1) {
        v128.store(to, f32x4.mul(byte4(i32x4.shl(v, 16)), scale));
        to += step;
      }
      if (left > 2) {
        v128.store(to, f32x4.mul(byte4(i32x4.shl(v, 8)), scale));
        to += step;
      }
      if (left > 3) {
        v128.store(to, f32x4.mul(byte4(v), scale));
        to += step;
      }
    }
    n -= 128;
  }
}

/** Four columns of whole numbers: (q - offset) scale + add. `v`: unsigned bytes, a row's four in each lane. */
function put(v: v128, offset: v128, scale: v128, add: v128, to: usize, step: usize): void {
  const byte = i32x4.splat(255);
  v128.store(to, whole(v128.and(v, byte), offset, scale, add));
  to += step;
  v128.store(to, whole(v128.and(i32x4.shr_u(v, 8), byte), offset, scale, add));
  to += step;
  v128.store(to, whole(v128.and(i32x4.shr_u(v, 16), byte), offset, scale, add));
  to += step;
  v128.store(to, whole(i32x4.shr_u(v, 24), offset, scale, add));
}

// @ts-ignore: decorator
@inline
function whole(q: v128, offset: v128, scale: v128, add: v128): v128 {
  return f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(q, offset)), scale), add);
}

/** Q8_0: signed bytes, moved to the top of their words: whole numbers times 2^24, which the scale takes back exactly. */
function spreadSigned(x: usize, n: i32, to: usize, step: usize): void {
  const top = topMask();
  const back = f32x4.splat(5.9604644775390625e-8);
  for (; n > 0; n -= 64, x += 272)
    for (let odd = 0; odd < min(2, n >> 5); odd++) {
      const scale = f32x4.mul(halves(x + (<usize>odd << 3)), back);
      for (let at = x + 16 + (<usize>odd << 7), end = at + 128; at < end; at += 16) {
        const v = v128.load(at);
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(v, 24)), scale));
        to += step;
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(v128.and(i32x4.shl(v, 16), top)), scale));
        to += step;
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(v128.and(i32x4.shl(v, 8), top)), scale));
        to += step;
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(v128.and(v, top)), scale));
        to += step;
      }
    }
}

/** Q4_0: column j of a block in the low nibbles, j + 16 in the high ones. Q4_1: the same above a minimum, not 8 below. */
function nibbles(x: usize, n: i32, to: usize, step: usize, raised: bool): void {
  const low = i8x16.splat(15);
  const offset = i32x4.splat(raised ? 0 : 8);
  const quants: usize = raised ? 32 : 16;
  for (; n > 0; n -= 64, x += quants + 128)
    for (let odd = 0; odd < min(2, n >> 5); odd++, to += step << 4) {
      const scale = halves(x + (<usize>odd << 3));
      const least = raised ? halves(x + 16 + (<usize>odd << 3)) : f32x4.splat(0);
      const from = x + quants + (<usize>odd << 6);
      for (let i: usize = 0; i < 64; i += 16, to += step << 2) {
        const v = v128.load(from + i);
        put(v128.and(v, low), offset, scale, least, to, step);
        put(v128.and(i16x8.shr_u(v, 4), low), offset, scale, least, to + (step << 4), step);
      }
    }
}

/** Q4_K, one super-block: 64 columns from each 32 bytes of a row, the first 32 in the low nibbles. */
function runs(x: usize, to: usize, step: usize): void {
  const low = i8x16.splat(15);
  const none = i32x4.splat(0);
  const scale = halves(x);
  const least = f32x4.neg(halves(x + 8));
  let pairs = x + 16;
  let from = x + 80;
  for (let j = 0; j < 4; j++, pairs += 16, to += step << 5) {
    const s0 = f32x4.mul(scale, unsigned4(pairs));
    const m0 = f32x4.mul(least, unsigned4(pairs + 4));
    const s1 = f32x4.mul(scale, unsigned4(pairs + 8));
    const m1 = f32x4.mul(least, unsigned4(pairs + 12));
    for (let i = 0; i < 8; i++, from += 16, to += step << 2) {
      const v = v128.load(from);
      put(v128.and(v, low), none, s0, m0, to, step);
      put(v128.and(i16x8.shr_u(v, 4), low), none, s1, m1, to + (step << 5), step);
    }
  }
}

/** Four bytes as floats. */
// @ts-ignore: decorator
@inline
export function unsigned4(at: usize): v128 {
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at))));
}

// @ts-ignore: decorator
@inline
export function signed4(at: usize): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(at))));
}

/** Q6_K, one super-block: two halves of four runs of 32 columns. */
function sixes(x: usize, to: usize, step: usize): void {
  const scale = halves(x);
  for (let half = 0; half < 2; half++) {
    for (let run = 0; run < 4; run++) {
      for (let i = 0; i < 8; i++, to += step << 2) {
        const s = f32x4.mul(scale, signed4(x + 16 + (<usize>(half * 8 + run * 2 + (i >> 2)) << 2)));
        put(six(x + 80, half, run, i), i32x4.splat(32), s, f32x4.splat(0), to, step);
      }
    }
  }
}

/** The 6-bit numbers of columns 4 i to 4 i + 3 of a run, a row's in each lane. */
// @ts-ignore: decorator
@inline
function six(x: usize, half: i32, run: i32, i: i32): v128 {
  const low = v128.load(x + (<usize>(half * 16 + (run & 1) * 8 + i) << 4));
  const high = v128.load(x + 512 + (<usize>(half * 8 + i) << 4));
  const nibble = v128.and(i16x8.shr_u(low, (run >> 1) << 2), i8x16.splat(15));
  return v128.or(nibble, v128.and(i16x8.shl(i16x8.shr_u(high, run << 1), 4), i8x16.splat(48)));
}
