// Activations as the dot products over packed weights want them.
import { BF16, F16, F8_E4M3, Q8_0 } from "../../tensor/format";
import { gatherRow } from "../einsum/stream.as";
import { activateEight } from "./eight.as";
import { BYTE_ROOT } from "./half.as";
import { activateOne } from "./one.as";
import { quantiseRow } from "./quantise.as";
import { activateShort, isShort } from "./short.as";
import { activateSixteen } from "./sixteen.as";

/** Bytes that `activate` fills for one row, at most. */
export function activatedBytes(width: i32): usize {
  return <usize>((width + 8) << 2);
}

/** Puts one row of `width` floats, `step` bytes apart, to `to`. `spare`: 4 * width bytes. */
export function activate(dots: bool, format: i32, to: usize, from: usize, step: usize, width: i32, spare: usize): void {
  if (format == F16 || format == BF16) activateSixteen(format, to, from, step, width, spare);
  else if (format == F8_E4M3) activateBytes(to, from, step, width);
  else if (format == Q8_0 && dots) activateOne(to, from, step, width, spare);
  else if (format == Q8_0) activateEight(to, from, step, width, spare);
  else if (isShort(format)) activateShort(format, to, from, step, width, spare);
  else quantiseRow(to, from, step, width, spare);
}

/** For bytes that are floats, which lack a power of two. */
function activateBytes(to: usize, from: usize, step: usize, width: i32): void {
  gatherRow(to, from, step, width);
  const by = f32x4.splat(BYTE_ROOT);
  for (let i = width; i < ((width + 7) & -8); i++) store<f32>(to + (<usize>i << 2), 0);
  for (const end = to + (<usize>width << 2); to < end; to += 16) v128.store(to, f32x4.mul(v128.load(to), by));
}
