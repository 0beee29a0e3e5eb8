// A row of activations as whole numbers.
import { gatherRow } from "../einsum/stream.as";

// 1.5 2^23, in memory since V8 builds a constant of four lanes anew at each use.
const R: usize = memory.data<f32>([12582912], 16);

// @ts-ignore: decorator
@inline
export function rounding(): v128 {
  return v128.load_splat<f32>(R);
}

/** The scale of a block whose largest number is `most` in size; no number where that is not finite. */
// @ts-ignore: decorator
@inline
export function scaleOf(most: f32): f32 {
  return most < Infinity ? most / 127 : NaN;
}

/** Puts a row of `width` floats, `step` bytes apart, to `to` as whole numbers, whose records lie behind them. `spare`: 4 * width bytes. */
export function quantiseRow(to: usize, from: usize, step: usize, width: i32, spare: usize): void {
  if (step != 4) gatherRow(spare, from, step, width);
  quantise(to, to + <usize>width, step == 4 ? from : spare, width);
}

/**
 * Blocks of 32 as whole numbers of at most 127 in size, x = d q with d = max |x| / 127, rounded to nearest. Per block a record:
 * d, the sum of q, and those of its halves. A block with a NaN or an infinity has d = NaN and any q.
 */
function quantise(to: usize, records: usize, x: usize, n: i32): void {
  for (; n > 0; n -= 32, x += 128, records += 16) {
    const amax = reach(x);
    const by = f32x4.splat(amax > 1e-30 ? 127 / amax : 0), round = rounding();
    const a0 = nearest4(x, by, round);
    const a1 = nearest4(x + 16, by, round);
    const a2 = nearest4(x + 32, by, round);
    const a3 = nearest4(x + 48, by, round);
    const b0 = nearest4(x + 64, by, round);
    const b1 = nearest4(x + 80, by, round);
    const b2 = nearest4(x + 96, by, round);
    const b3 = nearest4(x + 112, by, round);
    const left = add4(i32x4.add(i32x4.add(a0, a1), i32x4.add(a2, a3)));
    const right = add4(i32x4.add(i32x4.add(b0, b1), i32x4.add(b2, b3)));
    store<f32>(records, scaleOf(amax));
    store<i32>(records, left + right, 4);
    store<i32>(records, left, 8);
    store<i32>(records, right, 12);
    const q0 = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a0, a1), i16x8.narrow_i32x4_s(a2, a3));
    const q1 = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(b0, b1), i16x8.narrow_i32x4_s(b2, b3));
    v128.store(to, q0);
    v128.store(to, q1, 16);
    to += 32;
  }
}

/** Four numbers times `by`, at most 2^22 in size, as the nearest whole ones, even ones in the middle. */
// @ts-ignore: decorator
@inline
export function nearest4(x: usize, by: v128, round: v128): v128 {
  // What is added leaves no digit behind the point, and the whole number in the low bits.
  return i32x4.sub(f32x4.add(f32x4.mul(v128.load(x), by), round), round);
}

/** The largest of 32 numbers in size; infinite, or no number, where one is. */
// @ts-ignore: decorator
@inline
export function reach(x: usize): f32 {
  // Without their signs, bits of floats are in the order of their sizes.
  let most = i32x4.shl(v128.load(x), 1);
  for (let i: usize = 16; i < 128; i += 16) most = i32x4.max_u(most, i32x4.shl(v128.load(x + i), 1));
  most = i32x4.max_u(most, v128.shuffle<i32>(most, most, 2, 3, 2, 3));
  const bits = max<u32>(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1));
  return reinterpret<f32>(bits >> 1);
}

// @ts-ignore: decorator
@inline
export function add4(x: v128): i32 {
  const y = i32x4.add(x, v128.shuffle<i32>(x, x, 2, 3, 2, 3));
  return i32x4.extract_lane(y, 0) + i32x4.extract_lane(y, 1);
}
