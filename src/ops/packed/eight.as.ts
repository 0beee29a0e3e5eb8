// One row of activations times a panel of bytes (Q8_0) where the machine has no instruction for four bytes at once. Both are widened to
// 16 bits, activations once for all panels. V8 joins the vectors of rows 0 and 1 with those of rows 2 and 3, where the
// sums of two blocks share a vector. Whole numbers are exact, blocks are added one after the other: sums are those of `dot`, bit for bit.
import { madd } from "../simd.as";
import { quantiseRow } from "./quantise.as";
import { halfBias, halfMask, quickHalf } from "./half.as";

/** Where numbers of 16 bits lie: behind the quantised ones and their records. */
// @ts-ignore: decorator
@inline
function widened(x: usize, width: i32): usize {
  return x + (<usize>width << 1);
}

/** Puts a row of activations, `step` bytes apart, to `x`: for two blocks the scales of both twice, twice. `spare`: 4 * width bytes. */
export function activateEight(x: usize, from: usize, step: usize, width: i32, spare: usize): void {
  quantiseRow(x, from, step, width, spare);
  const end = x + <usize>width, to = widened(x, width);
  for (let record = end; record < to; record += 32) {
    // Behind the last of an odd number of blocks there is none, and nobody reads its scale.
    const both = v128.shuffle<i32>(v128.load32_splat(record), v128.load32_splat(record, 16), 0, 1, 4, 5);
    v128.store(record, both);
    v128.store(record, both, 16);
  }
  for (let from = x, y = to; from < end; from += 8, y += 16) v128.store(y, v128.load_ext<i8>(from));
}

/** The sums of four rows. */
export function dotEight(q: usize, width: i32, x: usize, sums: usize): v128 {
  const mask = halfMask(), bias = halfBias();
  let record = x + <usize>width, y = widened(x, width), first = f32x4.splat(0), last = first;
  for (; width >= 64; width -= 64, q += 272, y += 128, record += 32) {
    // Of each block rows 0 and 1, then of each rows 2 and 3.
    const h = v128.load(q), g = v128.shuffle<i32>(h, h, 0, 2, 1, 3);
    const d = quickHalf(i32x4.extend_low_i16x8_u(g), mask, bias), e = quickHalf(i32x4.extend_high_i16x8_u(g), mask, bias);
    const s = lower(q + 16, y), t = upper(q + 16, y), u = lower(q + 144, y + 64), v = upper(q + 144, y + 64);
    const a = f32x4.mul(f32x4.convert_i32x4_s(pair(s, u)), v128.load(record));
    const b = f32x4.mul(f32x4.convert_i32x4_s(pair(t, v)), v128.load(record, 16));
    first = madd(ending(a), ending(d), madd(a, d, first)), last = madd(ending(b), ending(e), madd(b, e, last));
  }
  // V8 joins vectors that are stored side by side, the upper first.
  v128.store(sums, last, 16);
  v128.store(sums, first);
  const a = v128.load(sums), b = v128.load(sums, 16);
  const sum = v128.shuffle<i32>(a, b, 0, 1, 4, 5);
  if (width == 0) return sum;
  const whole = f32x4.convert_i32x4_s(pair(lower(q + 16, y), upper(q + 16, y)));
  return madd(f32x4.mul(whole, v128.load32_splat(record)), quickHalf(v128.load_ext<u16>(q), mask, bias), sum);
}

/** What is of the second block, for the first two lanes: in the others lies what nobody reads. */
// @ts-ignore: decorator
@inline
function ending(x: v128): v128 {
  return v128.shuffle<i32>(x, x, 2, 3, 2, 3);
}

/** Sums of neighbouring lanes, of s and then of u. */
// @ts-ignore: decorator
@inline
function pair(s: v128, u: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(s, u, 0, 2, 4, 6), v128.shuffle<i32>(s, u, 1, 3, 5, 7));
}

/** Products of a block's rows 0 and 1, two sums of each; */
// @ts-ignore: decorator
@inline
function lower(q: usize, y: usize): v128 {
  const s = i32x4.add(i32x4.add(low(q, y), low(q + 32, y + 16)), i32x4.add(low(q + 64, y + 32), low(q + 96, y + 48)));
  return i32x4.add(s, i32x4.add(i32x4.add(low(q + 16, y + 8), low(q + 48, y + 24)), i32x4.add(low(q + 80, y + 40), low(q + 112, y + 56))));
}

/** of rows 2 and 3. */
// @ts-ignore: decorator
@inline
function upper(q: usize, y: usize): v128 {
  const s = i32x4.add(i32x4.add(high(q, y), high(q + 32, y + 16)), i32x4.add(high(q + 64, y + 32), high(q + 96, y + 48)));
  return i32x4.add(s, i32x4.add(i32x4.add(high(q + 16, y + 8), high(q + 48, y + 24)), i32x4.add(high(q + 80, y + 40), high(q + 112, y + 56))));
}

// @ts-ignore: decorator
@inline
function low(q: usize, y: usize): v128 {
  return i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(v128.load(q)), v128.load64_splat(y));
}

// @ts-ignore: decorator
@inline
function high(q: usize, y: usize): v128 {
  return i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(v128.load(q)), v128.load64_splat(y));
}
