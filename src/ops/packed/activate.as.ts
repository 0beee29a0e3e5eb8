// Activations as the dot products over packed weights want them.
import { BF16, F16, F8_E4M3, Q4_0, Q4_1, Q4_K, Q8_0 } from "../../tensor/format";
import { gatherRow } from "../einsum/stream.as";
import { activateEight } from "./eight.as";
import { BYTE_ROOT } from "./half.as";
import { quantiseRow, rounding } from "./quantise.as";
import { activateShort, isShort, layWords } from "./short.as";
import { activateSixteen } from "./sixteen.as";

/** Bytes that `activate` fills for one row, at most. */
export function activatedBytes(width: i32): usize {
  return <usize>((width + 8) << 2);
}

/** Puts one row of `width` floats, `step` bytes apart, to `to`. `spare`: 4 * width bytes. */
export function activate(dots: bool, format: i32, to: usize, from: usize, step: usize, width: i32, spare: usize): void {
  if (format == F16 || format == BF16) activateSixteen(format, to, from, step, width, spare);
  else if (format == F8_E4M3) activateBytes(to, from, step, width);
  else if (dots && isJoined(format)) {
    quantiseRow(to, from, step, width, spare);
    layWords(to, width);
    begin(to + <usize>width, format == Q8_0 ? 7 : format == Q4_0 ? 3 : 32, width);
  } else if (format == Q8_0) activateEight(to, from, step, width, spare);
  else if (isShort(format)) activateShort(format, to, from, step, width, spare);
  else quantiseRow(to, from, step, width, spare);
}

/** Whether weights of this format are multiplied by `dotWhole` where it may be (one.as.ts). */
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

/** For bytes that are floats, which lack a power of two. */
function activateBytes(to: usize, from: usize, step: usize, width: i32): void {
  gatherRow(to, from, step, width);
  const by = f32x4.splat(BYTE_ROOT);
  for (let i = width; i < ((width + 7) & -8); i++) store<f32>(to + (<usize>i << 2), 0);
  for (const end = to + (<usize>width << 2); to < end; to += 16) v128.store(to, f32x4.mul(v128.load(to), by));
}
