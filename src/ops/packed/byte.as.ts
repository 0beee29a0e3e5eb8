// What the machine's relaxed dot product makes of bytes. Its second factor is promised to be right up to 127 only; beyond, an engine
// may take it as signed, or let pairs of products overflow 16 bits, but is bound to do the same always (WebAssembly 3.0, relaxed
// operators). Where one instruction multiplies bytes of 0 to 255 by signed ones and adds them to 32 bits, all is exact.

// Signed factors of four lanes, unsigned ones, and 1 + their sums: the largest, the smallest, halves that cancel, and all sizes.
const LEFT: usize = memory.data<i8>([127, 127, 127, 127, -127, -127, -127, -127, 127, 127, -127, -127, 3, -5, 100, -77], 16);
const RIGHT: usize = memory.data<u8>([255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 128, 127, 200, 1], 16);
const SUMS: usize = memory.data<i32>([129541, -129539, 1, 19673], 16);

/** 1 where bytes of 0 to 255 may be the second factor of the relaxed dot product that adds, else 0. */
export function takesBytes(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 0;
  const got = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(LEFT), v128.load(RIGHT), i32x4.splat(1));
  return i32x4.all_true(i32x4.eq(got, v128.load(SUMS))) ? 1 : 0;
}
