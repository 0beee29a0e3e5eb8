// Sums of products of whole numbers in builds without relaxed SIMD: rows 0 and 1 are summed in s and 2 and 3 in t, each in two lanes.

/** s + products of the weights `w` with four activations, for the rows that s holds. */
// @ts-ignore: decorator
@inline
export function low(w: v128, x: usize, s: v128): v128 {
  return i32x4.add(s, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(w), i16x8.extend_low_i8x16_s(v128.load32_splat(x))));
}

/** The same for the rows that t holds. */
// @ts-ignore: decorator
@inline
export function high(w: v128, x: usize, t: v128): v128 {
  return i32x4.add(t, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(w), i16x8.extend_low_i8x16_s(v128.load32_splat(x))));
}

/** The sums of the four rows. */
// @ts-ignore: decorator
@inline
export function join(s: v128, t: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(s, t, 0, 2, 4, 6), v128.shuffle<i32>(s, t, 1, 3, 5, 7));
}
