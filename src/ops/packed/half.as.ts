// Floats of 16 and 8 bits, four rows at a time, without conversions in hardware: a number's bits are moved to where a float32
// has them, which gives the number times a power of two, subnormals included.

// Masks of a half's and of a byte's bits once moved, 2^112 and 2^120, then what infinities and NaN need; masks of nibbles, upper
// pairs and upper halves; of a half's exponent once moved, 2^-14, a sign, 112 as an exponent, a word's upper byte, and signs of bytes. In memory since V8 builds a constant of four lanes anew at each use, even in a loop.
const H: usize = memory.data<u32>(
  [0x8fffe000, 0x87f00000, 0x77800000, 0x7b800000, 0x47800000, 0x7f800000, 0x07f00000, 0x7fc00000,
    0x0f0f0f0f, 0x30303030, 0xffff0000, 0x0f800000, 0x38800000, 0x80000000, 0x38000000, 0xff000000, 0x80808080],
  16,
);

/** What the moved bits of a half, and of an 8-bit float, are to be multiplied by; in two steps of a root each. */
export const HALF_ROOT: f32 = 7.205759403792794e16;
export const BYTE_ROOT: f32 = 1.152921504606847e18;

// @ts-ignore: decorator
@inline
export function halfMask(): v128 {
  return v128.load_splat<u32>(H);
}

// @ts-ignore: decorator
@inline
export function byteMask(): v128 {
  return v128.load_splat<u32>(H, 4);
}

// @ts-ignore: decorator
@inline
export function halfBias(): v128 {
  return v128.load_splat<u32>(H, 56);
}

// @ts-ignore: decorator
@inline
export function nibbleMask(): v128 {
  return v128.load_splat<u32>(H, 32);
}

// @ts-ignore: decorator
@inline
export function pairMask(): v128 {
  return v128.load_splat<u32>(H, 36);
}

// @ts-ignore: decorator
@inline
export function upperMask(): v128 {
  return v128.load_splat<u32>(H, 40);
}

// @ts-ignore: decorator
@inline
export function topMask(): v128 {
  return v128.load_splat<u32>(H, 60);
}

// @ts-ignore: decorator
@inline
export function signMask(): v128 {
  return v128.load_splat<u32>(H, 64);
}

/** Halves in the upper 16 bits of each lane, exactly: infinities and NaN too. */
// @ts-ignore: decorator
@inline
export function half4(bits: v128): v128 {
  const x = f32x4.mul(v128.and(i32x4.shr_s(bits, 3), halfMask()), v128.load_splat<u32>(H, 8));
  // An exponent of all ones gives 65536 and more, which no finite half is.
  const beyond = f32x4.ge(f32x4.abs(x), v128.load_splat<u32>(H, 16));
  return v128.or(x, v128.and(beyond, v128.load_splat<u32>(H, 20)));
}

/** E4M3 in the upper 8 bits of each lane, exactly, NaN too. */
// @ts-ignore: decorator
@inline
export function byte4(bits: v128): v128 {
  const raw = v128.and(i32x4.shr_s(bits, 4), byteMask());
  const none = i32x4.eq(i32x4.shl(raw, 1), i32x4.shl(v128.load_splat<u32>(H, 24), 1));
  return v128.or(f32x4.mul(raw, v128.load_splat<u32>(H, 12)), v128.and(none, v128.load_splat<u32>(H, 28)));
}

/** Four halves that lie side by side. */
// @ts-ignore: decorator
@inline
export function halves(at: usize): v128 {
  return half4(i32x4.shl(v128.load_ext<u16>(at), 16));
}

/**
 * The same where none is an infinity or NaN, and without ever making a subnormal float32, on which processors are slow: an
 * exponent of 0 gets the least one of a normal half, and what that adds is taken away.
 */
// @ts-ignore: decorator
@inline
export function quickHalves(at: usize, mask: v128, bias: v128): v128 {
  return quickHalf(v128.load_ext<u16>(at), mask, bias);
}

/** The same of halves in the lower 16 bits of each lane. */
// @ts-ignore: decorator
@inline
export function quickHalf(at: v128, mask: v128, bias: v128): v128 {
  const x = i32x4.shl(at, 16);
  const bits = v128.and(i32x4.shr_s(x, 3), mask);
  const small = i32x4.eq(v128.and(bits, v128.load_splat<u32>(H, 44)), i32x4.splat(0));
  const raised = i32x4.add(bits, i32x4.sub(bias, i32x4.shl(small, 23)));
  const more = v128.and(small, v128.or(v128.load_splat<u32>(H, 48), v128.and(x, v128.load_splat<u32>(H, 52))));
  return f32x4.sub(raised, more);
}
