// Running sums along tokens, in float64.
import { address, first, next, scratch, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";
import * as slot from "./slot";

/** Channels that one thread takes at a time: 4 KiB of a row, and sums that stay in the nearest cache. */
const STRIP: i32 = 1024;

export function accumulate(args: usize, thread: i32): void {
  const start = address(args, slot.START);
  const sequences = whole(args, slot.SEQUENCES);
  const t = whole(args, slot.T);
  const channels = whole(args, slot.CHANNELS);
  const backward = whole(args, slot.BACKWARD);
  const row = <usize>channels << 2;
  const step = backward ? 0 - row : row;
  const sums = scratch(thread);
  const strips = (channels + STRIP - 1) / STRIP;
  for (let piece = first(sequences * strips); piece < sequences * strips; piece = next()) {
    const from = (piece % strips) * STRIP;
    const n = min(STRIP, channels - from);
    const row0 = (piece / strips) * t + (backward ? t - 1 : 0);
    let skip = <usize>row0 * row + (<usize>from << 2);
    for (let c = 0; c < n; c++) {
      const value: f64 = start ? load<f32>(start + (<usize>(from + c) << 2)) : 0;
      store<f64>(sums + (<usize>c << 3), value);
    }
    for (let i = 0; i < t; i++, skip += step) addRow(n, sums, address(args, slot.X) + skip, address(args, slot.OUT) + skip);
  }
}

/** sums += x; out = sums, rounded. The sums' memory goes up to a whole four. */
function addRow(n: i32, sums: usize, x: usize, out: usize): void {
  for (; n >= 4; n -= 4, sums += 32, x += 16, out += 16) v128.store(out, addFour(sums, v128.load(x)));
  if (n > 0) storePart(out, n, addFour(sums, loadPart(x, n, 0)));
}

// @ts-ignore: decorator
@inline
function addFour(sums: usize, x: v128): v128 {
  const low = f64x2.add(v128.load(sums), f64x2.promote_low_f32x4(x));
  const high = f64x2.add(v128.load(sums, 16), f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 2, 3)));
  v128.store(sums, low);
  v128.store(sums, high, 16);
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}
