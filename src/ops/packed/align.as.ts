// Rows of activations as the tile wants them: whole numbers of 16 bits, columns two by two, or bytes, columns four by four; TILE
// rows side by side.
import { Q4_1, Q4_K, Q6_K, Q8_0 } from "../../tensor/format";
import { add4, nearest4, reach, rounding, scaleOf } from "./quantise.as";
import { asBytes, RECORD } from "./tile.as";
import { offsetOf } from "./widen.as";

// Factors of two words' even and odd columns: weights of the even ones are left 256 times too large, so the others' are made so.
const LARGE: usize = memory.data<i16>([1, 1, 256, 256, 1, 1, 256, 256], 16);

/** Bytes of the numbers of `width` columns of TILE rows, behind which their records lie, and of both. */
// @ts-ignore: decorator
@inline
export function numberBytes(dots: bool, format: i32, width: i32): usize {
  return <usize>width << (asBytes(dots, format == Q8_0) ? 2 : 3);
}

// @ts-ignore: decorator
@inline
export function alignedBytes(dots: bool, format: i32, width: i32): usize {
  return numberBytes(dots, format, width) + <usize>(width >> 5) * RECORD;
}

/**
 * Puts a row of `width` floats that lie side by side to place `row` of TILE at `to`: blocks of 32 rounded as `quantise` does. A
 * block's record: its scale (by 256 where products are so much too large), what the sum of each half begins with (where `dots` sums,
 * above what rounds floats, as whose last digits it is counted), its sum times its scale.
 */
export function align(dots: bool, format: i32, to: usize, row: i32, x: usize, width: i32): void {
  const bytes = asBytes(dots, format == Q8_0);
  const times = bytes ? 1 : 256, offset = -times * offsetOf(dots, format);
  const factors = v128.load(LARGE), round = rounding();
  const base = dots ? i32x4.extract_lane(round, 0) : 0;
  const step: usize = bytes ? 32 : 64;
  let y = to + (<usize>row << 2);
  let record = to + numberBytes(dots, format, width) + (<usize>row << 2);
  for (const end = x + (<usize>width << 2); x < end; x += 128, record += RECORD) {
    const most = reach(x);
    const by = f32x4.splat(most > 1e-30 ? 127 / most : 0);
    let first = i32x4.splat(0), second = first;
    for (let i: usize = 0; i < 64; i += 32, y += step) first = i32x4.add(first, eight(bytes, y, x + i, by, round, factors));
    for (let i: usize = 64; i < 128; i += 32, y += step) second = i32x4.add(second, eight(bytes, y, x + i, by, round, factors));
    const left = add4(first), right = add4(second);
    const d = scaleOf(most);
    store<f32>(record, d / <f32>times);
    store<i32>(record, base + offset * (format == Q6_K ? left : left + right), 16);
    store<i32>(record, base + offset * right, 32);
    if (format == Q4_1 || format == Q4_K) store<f32>(record, d * <f32>(left + right), 48);
  }
}

/** Eight columns, a word of each four of them between those of the tile's other rows; returns four sums of them. */
// @ts-ignore: decorator
@inline
function eight(bytes: bool, y: usize, x: usize, by: v128, round: v128, factors: v128): v128 {
  const a = nearest4(x, by, round), b = nearest4(x + 16, by, round);
  const q = i16x8.narrow_i32x4_s(a, b);
  if (bytes) {
    const z = i8x16.narrow_i16x8_s(q, q);
    v128.store32_lane(y, z, 0);
    v128.store32_lane(y, z, 1, 16);
  } else {
    const z = i16x8.mul(i16x8.shuffle(q, q, 0, 2, 1, 3, 4, 6, 5, 7), factors);
    v128.store32_lane(y, z, 0);
    v128.store32_lane(y, z, 1, 16);
    v128.store32_lane(y, z, 2, 32);
    v128.store32_lane(y, z, 3, 48);
  }
  return i32x4.add(a, b);
}

/** Records of rows that are not there, of which nobody reads the sums. */
export function alignNone(dots: bool, format: i32, to: usize, row: i32, width: i32): void {
  let record = to + numberBytes(dots, format, width) + (<usize>row << 2);
  for (let i = 0; i < width; i += 32, record += RECORD) {
    store<f32>(record, 0);
    store<f32>(record, 0, 48);
  }
}
