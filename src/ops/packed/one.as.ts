// One row of activations times a panel of bytes (Q8_0) where the machine adds products of four bytes to a sum in one instruction.
// Panels follow each other in memory and are read from front to back: of four that were read side by side a processor may fetch none
// ahead (LOG.md). V8 joins vectors that are stored side by side, the upper first, and two whose elements are spread by the same
// shuffle: so sums pass through memory, and of eight words of activations the even ones lie before the odd ones. Whole numbers are
// exact, blocks are added one after the other: sums are those of `dot`, bit for bit.
import { madd } from "../simd.as";
import { halfBias, halfMask, quickHalves, signMask } from "./half.as";
import { quantiseRow, rounding } from "./quantise.as";
import { layWords } from "./short.as";

/** Puts a row of activations, `step` bytes apart, to `x`: words of each block, and at 8 of its record what its sums begin with. `spare`: 4 * width bytes. */
export function activateOne(x: usize, from: usize, step: usize, width: i32, spare: usize): void {
  quantiseRow(x, from, step, width, spare);
  layWords(x, width);
  // Weights stand 128 above theirs, and sums above what rounds floats, as whose last digits they are counted.
  const base = i32x4.extract_lane(rounding(), 0);
  for (let record = x + <usize>width; width > 0; width -= 32, record += 16) store<i32>(record, base - (load<i32>(record, 4) << 7), 8);
}

/** The sums of four rows. */
export function dotOne(q: usize, width: i32, x: usize, sums: usize): v128 {
  let record = x + <usize>width, sum = f32x4.splat(0);
  for (; width >= 64; width -= 64, q += 272, x += 64, record += 32) {
    blockSums(q + 16, x, sums);
    blockSums(q + 144, x + 32, sums + 32);
    sum = scaled(q, record, sums, sum);
    sum = scaled(q + 8, record + 16, sums + 32, sum);
  }
  if (width == 0) return sum;
  blockSums(q + 16, x, sums);
  return scaled(q, record, sums, sum);
}

/** Sums of a block: those of words at even places, then of those at odd ones. Both begin at zero, or V8 joins none. */
// @ts-ignore: decorator
@inline
function blockSums(q: usize, x: usize, to: usize): void {
  const mask = signMask(), e = v128.load(x), o = v128.load(x, 16);
  const p0 = v128.xor(v128.load(q), mask), p1 = v128.xor(v128.load(q, 16), mask);
  const p2 = v128.xor(v128.load(q, 32), mask), p3 = v128.xor(v128.load(q, 48), mask);
  const p4 = v128.xor(v128.load(q, 64), mask), p5 = v128.xor(v128.load(q, 80), mask);
  const p6 = v128.xor(v128.load(q, 96), mask), p7 = v128.xor(v128.load(q, 112), mask);
  let a = add(v128.shuffle<i32>(e, e, 0, 0, 0, 0), p0, i32x4.splat(0)), b = add(v128.shuffle<i32>(o, o, 0, 0, 0, 0), p1, i32x4.splat(0));
  a = add(v128.shuffle<i32>(e, e, 1, 1, 1, 1), p2, a), b = add(v128.shuffle<i32>(o, o, 1, 1, 1, 1), p3, b);
  a = add(v128.shuffle<i32>(e, e, 2, 2, 2, 2), p4, a), b = add(v128.shuffle<i32>(o, o, 2, 2, 2, 2), p5, b);
  a = add(v128.shuffle<i32>(e, e, 3, 3, 3, 3), p6, a), b = add(v128.shuffle<i32>(o, o, 3, 3, 3, 3), p7, b);
  v128.store(to, b, 16);
  v128.store(to, a);
}

/** `sum` and a block's sums, scaled. */
// @ts-ignore: decorator
@inline
function scaled(q: usize, record: usize, sums: usize, sum: v128): v128 {
  const s = i32x4.add(i32x4.add(v128.load(sums), v128.load(sums, 16)), v128.load32_splat(record, 8));
  const x = f32x4.mul(f32x4.sub(s, rounding()), v128.load32_splat(record));
  return madd(x, quickHalves(q, halfMask(), halfBias()), sum);
}

// @ts-ignore: decorator
@inline
function add(x: v128, w: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum);
  return sum;
}
