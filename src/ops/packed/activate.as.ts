// Activations as the dot products over packed weights want them.
import { F16, F8_E4M3, Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { BYTE_ROOT, HALF_ROOT } from "./half.as";

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

/** Whether sizes and signs are apart, for signs to be turned: where the dot product takes no bytes of 8 bits as they are. */
// @ts-ignore: decorator
@inline
function turns(dots: bool, format: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD && format == Q8_0 && !dots;
}

/** Bytes of a row's quantised activations before its records. */
// @ts-ignore: decorator
@inline
export function quantisedBytes(dots: bool, format: i32, width: i32): usize {
  return <usize>(turns(dots, format) ? width << 1 : width);
}

/** Bytes that `activate` fills for one row, at most. */
export function activatedBytes(width: i32): usize {
  return <usize>((width + 8) << 2);
}

/** Puts one row of `width` floats, `step` bytes apart, to `to`. `spare`: 4 * width bytes. */
export function activate(dots: bool, format: i32, to: usize, from: usize, step: usize, width: i32, spare: usize): void {
  if (format >= Q8_0) {
    let x = from;
    if (step != 4) {
      gather(spare, from, step, width);
      x = spare;
    }
    const records = to + quantisedBytes(dots, format, width);
    quantise(turns(dots, format), to, records, x, width);
    if (dots && isJoined(format)) begin(records, format == Q8_0 ? 7 : format == Q4_0 ? 3 : 32, width);
    return;
  }
  gather(to, from, step, width);
  for (let i = width; i < ((width + 7) & -8); i++) store<f32>(to + (<usize>i << 2), 0);
  if (format == F16) scale(to, width, HALF_ROOT);
  else if (format == F8_E4M3) scale(to, width, BYTE_ROOT);
}

/** Puts one row of `width` floats, `step` bytes apart, to `to` as whole numbers, whose records lie behind them. `spare`: 4 * width bytes. */
export function quantiseRow(to: usize, from: usize, step: usize, width: i32, spare: usize): void {
  if (step != 4) gather(spare, from, step, width);
  quantise(false, to, to + <usize>width, step == 4 ? from : spare, width);
}

/** Whether weights of this format are multiplied by `dotJoined` where it may be (one.as.ts). */
// @ts-ignore: decorator
@inline
export function isJoined(format: i32): bool {
  return format == Q8_0 || format == Q4_0 || format == Q4_1 || format == Q4_K;
}

/**
 * Puts in place of the sums of halves what a block's sums begin with, and its own times d. Weights stand 2^shift above theirs, none
 * where it is 32; sums above what rounds floats, as whose last digits they are counted.
 */
function begin(records: usize, shift: i32, n: i32): void {
  const base = i32x4.extract_lane(rounding(), 0);
  for (; n > 0; n -= 32, records += 16) {
    const sum = load<i32>(records, 4);
    store<i32>(records, shift == 32 ? base : base - (sum << shift), 8);
    store<f32>(records, load<f32>(records) * <f32>sum, 12);
  }
}

/** Copies numbers `step` bytes apart to where they lie side by side. */
export function gather(to: usize, from: usize, step: usize, n: i32): void {
  if (step == 4) memory.copy(to, from, <usize>n << 2);
  else for (; n > 0; n--, to += 4, from += step) store<f32>(to, load<f32>(from));
}

function scale(x: usize, n: i32, by: f32): void {
  const f = f32x4.splat(by);
  for (; n > 0; n -= 4, x += 16) v128.store(x, f32x4.mul(v128.load(x), f));
}

/**
 * Blocks of 32 as whole numbers of at most 127 in size, x = d q with d = max |x| / 127, rounded to nearest. Per block a record:
 * d, the sum of q, and those of its halves. A block with a NaN or an infinity has d = NaN and any q.
 */
function quantise(turned: bool, to: usize, records: usize, x: usize, n: i32): void {
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
    if (turned) {
      apart(to, q0);
      apart(to + 32, q1);
      to += 64;
    } else {
      v128.store(to, q0);
      v128.store(to, q1, 16);
      to += 32;
    }
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

/** Per four numbers a word of sizes and one of signs (0 or -1). */
// @ts-ignore: decorator
@inline
function apart(to: usize, q: v128): void {
  const size = i8x16.abs(q);
  const sign = i8x16.lt_s(q, i8x16.splat(0));
  v128.store(to, v128.shuffle<i32>(size, sign, 0, 4, 1, 5));
  v128.store(to, v128.shuffle<i32>(size, sign, 2, 6, 3, 7), 16);
}
