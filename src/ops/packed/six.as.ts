// One row of activations times a panel of 6-bit numbers (Q6_K) where the machine multiplies bytes in pairs: sums of two such pairs fit
// in 16 bits. As in short.as.ts activations are spread by shuffles, and V8 joins vectors that are stored side by side. Whole numbers
// are exact: sums are those of `dot`, bit for bit.
import { madd } from "../simd.as";
import { halfBias, halfMask, nibbleMask, pairMask, quickHalves } from "./half.as";
import { ones, pairs } from "./short.as";
import { signed4 } from "./spread.as";

/**
 * Lays a row's whole numbers anew, of each half of a super-block the first 16 columns of its four runs, then the last 16: of two runs
 * the even words, then the odd ones.
 */
export function layHalves(x: usize, width: i32): void {
  for (const end = x + <usize>width; x < end; x += 128) {
    const a = v128.load(x), b = v128.load(x, 32), c = v128.load(x, 64), d = v128.load(x, 96);
    const e = v128.load(x, 16), f = v128.load(x, 48), g = v128.load(x, 80), h = v128.load(x, 112);
    layFour(x, a, b, c, d);
    layFour(x + 64, e, f, g, h);
  }
}

// @ts-ignore: decorator
@inline
function layFour(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
  v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 16);
  v128.store(to, v128.shuffle<i32>(c, d, 0, 2, 4, 6), 32);
  v128.store(to, v128.shuffle<i32>(c, d, 1, 3, 5, 7), 48);
}

/** The sums of four rows. `x`: as `layHalves` leaves it. */
export function dotSix(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias(), nibble = nibbleMask(), upper = pairMask(), one = ones();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 848) {
    let f = f32x4.splat(0), scales = q + 16;
    for (let half: usize = 0; half < 2; half++, x += 128, scales += 32, record += 64) {
      const low = q + 80 + (half << 8), high = q + 592 + (half << 7);
      sixteen(low, high, x, nibble, upper, one, sums);
      f = scaleFour(sums, record, record + 8, scales, f);
      // To another place than the first: V8 joins no stores to a place that has others.
      sixteen(low + 64, high + 64, x + 64, nibble, upper, one, sums + 128);
      f = scaleFour(sums + 128, record, record + 12, scales + 4, f);
    }
    sum = madd(f, quickHalves(q, mask, bias), sum);
  }
  return sum;
}

/** Products of 16 columns of each of the four runs of a half, as they stand, to `sums`. Numbers lie in nibbles at q and q + 128, their upper two bits at p. */
// @ts-ignore: decorator
@inline
function sixteen(q: usize, p: usize, x: usize, nibble: v128, upper: v128, one: v128, sums: usize): void {
  const w0 = v128.load(q), w1 = v128.load(q, 16), w2 = v128.load(q, 32), w3 = v128.load(q, 48);
  const v0 = v128.load(q, 128), v1 = v128.load(q, 144), v2 = v128.load(q, 160), v3 = v128.load(q, 176);
  const p0 = v128.load(p), p1 = v128.load(p, 16), p2 = v128.load(p, 32), p3 = v128.load(p, 48);
  const e = v128.load(x), o = v128.load(x, 16), g = v128.load(x, 32), h = v128.load(x, 48);
  const s0 = former(e, first(w0, p0, nibble, upper), first(w2, p2, nibble, upper));
  const t0 = former(o, first(w1, p1, nibble, upper), first(w3, p3, nibble, upper));
  const s1 = latter(e, second(v0, p0, nibble, upper), second(v2, p2, nibble, upper));
  const t1 = latter(o, second(v1, p1, nibble, upper), second(v3, p3, nibble, upper));
  const s2 = former(g, third(w0, p0, nibble, upper), third(w2, p2, nibble, upper));
  const t2 = former(h, third(w1, p1, nibble, upper), third(w3, p3, nibble, upper));
  const s3 = latter(g, fourth(v0, p0, nibble, upper), fourth(v2, p2, nibble, upper));
  const t3 = latter(h, fourth(v1, p1, nibble, upper), fourth(v3, p3, nibble, upper));
  v128.store(sums, i32x4.dot_i16x8_s(t0, one), 16);
  v128.store(sums, i32x4.dot_i16x8_s(s0, one));
  v128.store(sums, i32x4.dot_i16x8_s(t1, one), 48);
  v128.store(sums, i32x4.dot_i16x8_s(s1, one), 32);
  v128.store(sums, i32x4.dot_i16x8_s(t2, one), 80);
  v128.store(sums, i32x4.dot_i16x8_s(s2, one), 64);
  v128.store(sums, i32x4.dot_i16x8_s(t3, one), 112);
  v128.store(sums, i32x4.dot_i16x8_s(s3, one), 96);
}

/** Two words of a run's numbers by the first two words of x; */
// @ts-ignore: decorator
@inline
function former(x: v128, w: v128, v: v128): v128 {
  return i16x8.add(pairs(v128.shuffle<i32>(x, x, 0, 0, 0, 0), w), pairs(v128.shuffle<i32>(x, x, 1, 1, 1, 1), v));
}

/** by the last two. */
// @ts-ignore: decorator
@inline
function latter(x: v128, w: v128, v: v128): v128 {
  return i16x8.add(pairs(v128.shuffle<i32>(x, x, 2, 2, 2, 2), w), pairs(v128.shuffle<i32>(x, x, 3, 3, 3, 3), v));
}

/** Numbers of the four runs: nibbles and two bits above them. */
// @ts-ignore: decorator
@inline
function first(w: v128, p: v128, nibble: v128, upper: v128): v128 {
  return v128.or(v128.and(w, nibble), v128.and(i16x8.shl(p, 4), upper));
}

// @ts-ignore: decorator
@inline
function second(w: v128, p: v128, nibble: v128, upper: v128): v128 {
  return v128.or(v128.and(w, nibble), v128.and(i16x8.shl(p, 2), upper));
}

// @ts-ignore: decorator
@inline
function third(w: v128, p: v128, nibble: v128, upper: v128): v128 {
  return v128.or(v128.and(i16x8.shr_u(w, 4), nibble), v128.and(p, upper));
}

// @ts-ignore: decorator
@inline
function fourth(w: v128, p: v128, nibble: v128, upper: v128): v128 {
  return v128.or(v128.and(i16x8.shr_u(w, 4), nibble), v128.and(i16x8.shr_u(p, 2), upper));
}

/** f + scales (sums of four runs - 32 sums of activations), at `left`: 6-bit numbers stand 32 above theirs. */
// @ts-ignore: decorator
@inline
function scaleFour(sums: usize, record: usize, left: usize, scales: usize, f: v128): v128 {
  f = scaleOne(sums, record, left, scales, f);
  f = scaleOne(sums + 32, record + 16, left + 16, scales + 8, f);
  f = scaleOne(sums + 64, record + 32, left + 32, scales + 16, f);
  return scaleOne(sums + 96, record + 48, left + 48, scales + 24, f);
}

// @ts-ignore: decorator
@inline
function scaleOne(sums: usize, record: usize, left: usize, scales: usize, f: v128): v128 {
  const whole = i32x4.sub(i32x4.add(v128.load(sums), v128.load(sums, 16)), i32x4.shl(v128.load32_splat(left), 5));
  return madd(f32x4.mul(f32x4.convert_i32x4_s(whole), v128.load32_splat(record)), signed4(scales), f);
}
