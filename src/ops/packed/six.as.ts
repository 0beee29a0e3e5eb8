// One row of activations times a panel of 6-bit numbers (Q6_K) where the machine multiplies bytes in pairs: sums of two such pairs fit
// in 16 bits. As in short.as.ts activations are spread by shuffles, and V8 joins vectors that are stored side by side. Whole numbers
// are exact: sums are those of `dot`, bit for bit.
import { madd } from "../simd.as";
import { halfBias, halfMask, nibbleMask, pairMask, quickHalves } from "./half.as";
import { ones, pairs } from "./short.as";
import { signed4 } from "./spread.as";

/** The sums of four rows. `x`: as activateShort lays it. */
export function dotSix(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias(), nibble = nibbleMask(), upper = pairMask(), one = ones();
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width > 0; width -= 256, q += 848) {
    let f = f32x4.splat(0), scales = q + 16;
    for (let half: usize = 0; half < 2; half++, x += 128, scales += 32, record += 64) {
      firstSixteen(q + 80 + (half << 8), q + 592 + (half << 7), x, nibble, upper, one, sums);
      f = scaleFour(sums, record, record + 8, scales, f);
      // To another place than the first: V8 joins no stores to a place that has others.
      lastSixteen(q + 144 + (half << 8), q + 656 + (half << 7), x, nibble, upper, one, sums + 128);
      f = scaleFour(sums + 128, record, record + 12, scales + 4, f);
    }
    sum = madd(f, quickHalves(q, mask, bias), sum);
  }
  return sum;
}

/** Products of the first 16 columns of each of the four runs of a half, as they stand; */
// @ts-ignore: decorator
@inline
function firstSixteen(q: usize, p: usize, x: usize, nibble: v128, upper: v128, one: v128, sums: usize): void {
  const e0 = v128.load(x), o0 = v128.load(x, 16), e1 = v128.load(x, 32), o1 = v128.load(x, 48);
  const e2 = v128.load(x, 64), o2 = v128.load(x, 80), e3 = v128.load(x, 96), o3 = v128.load(x, 112);
  const a = v128.shuffle<i32>(e0, e0, 0, 0, 0, 0), b = v128.shuffle<i32>(o0, o0, 0, 0, 0, 0);
  const c = v128.shuffle<i32>(e0, e0, 1, 1, 1, 1), d = v128.shuffle<i32>(o0, o0, 1, 1, 1, 1);
  const g = v128.shuffle<i32>(e1, e1, 0, 0, 0, 0), h = v128.shuffle<i32>(o1, o1, 0, 0, 0, 0);
  const i = v128.shuffle<i32>(e1, e1, 1, 1, 1, 1), j = v128.shuffle<i32>(o1, o1, 1, 1, 1, 1);
  const k = v128.shuffle<i32>(e2, e2, 0, 0, 0, 0), l = v128.shuffle<i32>(o2, o2, 0, 0, 0, 0);
  const m = v128.shuffle<i32>(e2, e2, 1, 1, 1, 1), n = v128.shuffle<i32>(o2, o2, 1, 1, 1, 1);
  const r = v128.shuffle<i32>(e3, e3, 0, 0, 0, 0), s = v128.shuffle<i32>(o3, o3, 0, 0, 0, 0);
  const t = v128.shuffle<i32>(e3, e3, 1, 1, 1, 1), u = v128.shuffle<i32>(o3, o3, 1, 1, 1, 1);
  sixteen(q, p, a, b, c, d, g, h, i, j, k, l, m, n, r, s, t, u, nibble, upper, one, sums);
}

/** of the last 16. */
// @ts-ignore: decorator
@inline
function lastSixteen(q: usize, p: usize, x: usize, nibble: v128, upper: v128, one: v128, sums: usize): void {
  const e0 = v128.load(x), o0 = v128.load(x, 16), e1 = v128.load(x, 32), o1 = v128.load(x, 48);
  const e2 = v128.load(x, 64), o2 = v128.load(x, 80), e3 = v128.load(x, 96), o3 = v128.load(x, 112);
  const a = v128.shuffle<i32>(e0, e0, 2, 2, 2, 2), b = v128.shuffle<i32>(o0, o0, 2, 2, 2, 2);
  const c = v128.shuffle<i32>(e0, e0, 3, 3, 3, 3), d = v128.shuffle<i32>(o0, o0, 3, 3, 3, 3);
  const g = v128.shuffle<i32>(e1, e1, 2, 2, 2, 2), h = v128.shuffle<i32>(o1, o1, 2, 2, 2, 2);
  const i = v128.shuffle<i32>(e1, e1, 3, 3, 3, 3), j = v128.shuffle<i32>(o1, o1, 3, 3, 3, 3);
  const k = v128.shuffle<i32>(e2, e2, 2, 2, 2, 2), l = v128.shuffle<i32>(o2, o2, 2, 2, 2, 2);
  const m = v128.shuffle<i32>(e2, e2, 3, 3, 3, 3), n = v128.shuffle<i32>(o2, o2, 3, 3, 3, 3);
  const r = v128.shuffle<i32>(e3, e3, 2, 2, 2, 2), s = v128.shuffle<i32>(o3, o3, 2, 2, 2, 2);
  const t = v128.shuffle<i32>(e3, e3, 3, 3, 3, 3), u = v128.shuffle<i32>(o3, o3, 3, 3, 3, 3);
  sixteen(q, p, a, b, c, d, g, h, i, j, k, l, m, n, r, s, t, u, nibble, upper, one, sums);
}

/** Numbers at q and q + 128 in nibbles, their upper two bits at p; activations of each run for its four vectors. */
// @ts-ignore: decorator
@inline
function sixteen(
  q: usize, p: usize, a: v128, b: v128, c: v128, d: v128, g: v128, h: v128, i: v128, j: v128, k: v128, l: v128, m: v128, n: v128,
  r: v128, s: v128, t: v128, u: v128, nibble: v128, upper: v128, one: v128, sums: usize,
): void {
  const w0 = v128.load(q), w1 = v128.load(q, 16), w2 = v128.load(q, 32), w3 = v128.load(q, 48);
  const v0 = v128.load(q, 128), v1 = v128.load(q, 144), v2 = v128.load(q, 160), v3 = v128.load(q, 176);
  const p0 = v128.load(p), p1 = v128.load(p, 16), p2 = v128.load(p, 32), p3 = v128.load(p, 48);
  const s0 = i16x8.add(pairs(a, first(w0, p0, nibble, upper)), pairs(c, first(w2, p2, nibble, upper)));
  const t0 = i16x8.add(pairs(b, first(w1, p1, nibble, upper)), pairs(d, first(w3, p3, nibble, upper)));
  const s1 = i16x8.add(pairs(g, second(v0, p0, nibble, upper)), pairs(i, second(v2, p2, nibble, upper)));
  const t1 = i16x8.add(pairs(h, second(v1, p1, nibble, upper)), pairs(j, second(v3, p3, nibble, upper)));
  const s2 = i16x8.add(pairs(k, third(w0, p0, nibble, upper)), pairs(m, third(w2, p2, nibble, upper)));
  const t2 = i16x8.add(pairs(l, third(w1, p1, nibble, upper)), pairs(n, third(w3, p3, nibble, upper)));
  const s3 = i16x8.add(pairs(r, fourth(v0, p0, nibble, upper)), pairs(t, fourth(v2, p2, nibble, upper)));
  const t3 = i16x8.add(pairs(s, fourth(v1, p1, nibble, upper)), pairs(u, fourth(v3, p3, nibble, upper)));
  v128.store(sums, i32x4.dot_i16x8_s(t0, one), 16);
  v128.store(sums, i32x4.dot_i16x8_s(s0, one));
  v128.store(sums, i32x4.dot_i16x8_s(t1, one), 48);
  v128.store(sums, i32x4.dot_i16x8_s(s1, one), 32);
  v128.store(sums, i32x4.dot_i16x8_s(t2, one), 80);
  v128.store(sums, i32x4.dot_i16x8_s(s2, one), 64);
  v128.store(sums, i32x4.dot_i16x8_s(t3, one), 112);
  v128.store(sums, i32x4.dot_i16x8_s(s3, one), 96);
}

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
