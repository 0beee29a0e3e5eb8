// Four floats at a time: what the kernels of all ops are written with.

/** a b + c; rounded once where the build has relaxed SIMD and the machine a fused multiply-add. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** c - a b. */
// @ts-ignore: decorator
@inline
export function nmadd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
  return f32x4.sub(c, f32x4.mul(a, b));
}

/** Sum of the four lanes: (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sum4(x: v128): f32 {
  const y = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 2, 3));
  return f32x4.extract_lane(y, 0) + f32x4.extract_lane(y, 1);
}

/** Largest of the four lanes. */
// @ts-ignore: decorator
@inline
export function max4(x: v128): f32 {
  const y = f32x4.max(x, v128.shuffle<f32>(x, x, 2, 3, 2, 3));
  return max<f32>(f32x4.extract_lane(y, 0), f32x4.extract_lane(y, 1));
}

/** The first `count` (0 to 4) floats at `from`, the other lanes `fill`. */
export function loadPart(from: usize, count: i32, fill: f32): v128 {
  if (count >= 4) return v128.load(from);
  let x = f32x4.splat(fill);
  if (count > 0) x = f32x4.replace_lane(x, 0, load<f32>(from));
  if (count > 1) x = f32x4.replace_lane(x, 1, load<f32>(from, 4));
  if (count > 2) x = f32x4.replace_lane(x, 2, load<f32>(from, 8));
  return x;
}

/** Stores the first `count` (0 to 4) lanes of x. */
export function storePart(to: usize, count: i32, x: v128): void {
  if (count >= 4) {
    v128.store(to, x);
    return;
  }
  if (count > 0) store<f32>(to, f32x4.extract_lane(x, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(x, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(x, 2), 8);
}

// What exp4 needs, in memory: V8 builds a constant of four lanes anew at each use, which costs more than loading it, and
// joins two such loads into one of 256 bits. Order: most, least, log2 e, ln 2 in two parts, coefficients, 1, rounding.
const E: usize = memory.data<f32>(
  [
    88.37, -87.3, 1.44269504, -2.1219444e-4, 0.693359375, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
    4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 12582912,
  ],
  16,
);

/**
 * e^x, relative error below 2e-7. Below -87.3 (and at -Infinity) 0; above 88.37 it stays at 2.4e38; NaN stays NaN.
 * Range reduction by ln 2 in two parts, then a polynomial of degree 6 on [-ln2/2, ln2/2] (Cephes, S. L. Moshier).
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const least = v128.load_splat<f32>(E, 4);
  const round = v128.load_splat<f32>(E, 48);
  const y = f32x4.pmax(f32x4.pmin(x, v128.load_splat<f32>(E)), least);
  // Adding 1.5 * 2^23 rounds to a whole number n, which then stands in the low bits.
  const bits = madd(y, v128.load_splat<f32>(E, 8), round);
  const n = f32x4.sub(bits, round);
  const r = nmadd(n, v128.load_splat<f32>(E, 12), nmadd(n, v128.load_splat<f32>(E, 16), y));
  let p = madd(v128.load_splat<f32>(E, 20), r, v128.load_splat<f32>(E, 24));
  p = madd(p, r, v128.load_splat<f32>(E, 28));
  p = madd(p, r, v128.load_splat<f32>(E, 32));
  p = madd(p, r, v128.load_splat<f32>(E, 36));
  p = madd(p, r, v128.load_splat<f32>(E, 40));
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, v128.load_splat<f32>(E, 44)));
  // 2^n by adding n to the exponent bits.
  return v128.andnot(i32x4.add(p, i32x4.shl(bits, 23)), f32x4.lt(x, least));
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = v128.load_splat<f32>(E, 44);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** Natural logarithm of normal positive numbers, relative error below 2e-7 (absolute near 1). Source: as exp4. */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)).
  const bits = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(bits, 23));
  const m = i32x4.add(v128.and(bits, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const r = f32x4.sub(m, f32x4.splat(1));
  let p = madd(f32x4.splat(7.0376836292e-2), r, f32x4.splat(-1.1514610310e-1));
  p = madd(p, r, f32x4.splat(1.1676998740e-1));
  p = madd(p, r, f32x4.splat(-1.2420140846e-1));
  p = madd(p, r, f32x4.splat(1.4249322787e-1));
  p = madd(p, r, f32x4.splat(-1.6668057665e-1));
  p = madd(p, r, f32x4.splat(2.0000714765e-1));
  p = madd(p, r, f32x4.splat(-2.4999993993e-1));
  p = madd(p, r, f32x4.splat(3.3333331174e-1));
  const r2 = f32x4.mul(r, r);
  p = f32x4.mul(f32x4.mul(p, r), r2);
  p = madd(e, f32x4.splat(-2.12194440e-4), p);
  p = nmadd(r2, f32x4.splat(0.5), p);
  return madd(e, f32x4.splat(0.693359375), f32x4.add(r, p));
}

// log(1 + x) and tanh: coefficients, then 2, and the tanh's 0.625. In memory for the same reason as those of exp4.
const L: usize = memory.data<f32>([2.68514980e-1, 2.82366198e-1, 4.00075606e-1, 6.66666403e-1, 2], 16);
const T: usize = memory.data<f32>(
  [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1, 0.625, 1, 2],
  16,
);

/**
 * log(1 + x) for x from 0 to 1, relative error below 2e-7. It is 2 atanh(s) with s = x / (2 + x), at most 1/3; the series'
 * rest is a cubic in s^2, fitted at Chebyshev nodes.
 */
// @ts-ignore: decorator
@inline
export function log1p4(x: v128): v128 {
  const two = v128.load_splat<f32>(L, 16);
  const s = f32x4.div(x, f32x4.add(two, x));
  const w = f32x4.mul(s, s);
  let p = madd(v128.load_splat<f32>(L), w, v128.load_splat<f32>(L, 4));
  p = madd(p, w, v128.load_splat<f32>(L, 8));
  p = madd(p, w, v128.load_splat<f32>(L, 12));
  return madd(f32x4.mul(s, w), p, f32x4.add(s, s));
}

/** log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), log1p4(exp4(f32x4.neg(f32x4.abs(x)))));
}

/** Hyperbolic tangent, relative error below 2e-7: a polynomial below 0.625, else 1 - 2 / (e^2|x| + 1). Source: as exp4. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const one = v128.load_splat<f32>(T, 24);
  const size = f32x4.abs(x);
  const w = f32x4.mul(x, x);
  let p = madd(v128.load_splat<f32>(T), w, v128.load_splat<f32>(T, 4));
  p = madd(p, w, v128.load_splat<f32>(T, 8));
  p = madd(p, w, v128.load_splat<f32>(T, 12));
  p = madd(p, w, v128.load_splat<f32>(T, 16));
  p = madd(f32x4.mul(p, w), size, size);
  const two = v128.load_splat<f32>(T, 28);
  const far = f32x4.sub(one, f32x4.div(two, f32x4.add(exp4(f32x4.add(size, size)), one)));
  const result = v128.bitselect(p, far, f32x4.lt(size, v128.load_splat<f32>(T, 20)));
  return v128.or(result, v128.and(x, f32x4.splat(-0.0)));
}
