// Results of attention over disjoint sets of keys become the result over all of them.
import { address, first, next, piecesOf, rowsOf, scratch, whole } from "../../device/thread.as";
import { exp4, loadPart, log4, madd, storePart } from "../simd.as";
import * as slot from "./slot";

export function merge(args: usize, thread: i32): void {
  const rows = whole(args, slot.ROWS), width = whole(args, slot.WIDTH), parts = whole(args, slot.COUNT);
  const weights = scratch(thread);
  const each = rowsOf(width * parts);
  const pieces = piecesOf(rows, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let row = piece * each, to = min(rows, row + each); row < to; row++) {
      store<f32>(address(args, slot.LSE) + (<usize>row << 2), weigh(args, row, parts, weights));
      sumUp(args, row, width, parts, weights);
    }
}

/** Fills the parts' weights in a row, zeros where no part has a key; returns the log of all exponentials. */
function weigh(args: usize, row: i32, parts: i32, weights: usize): f32 {
  const skip = <usize>row << 2;
  let top: f32 = -Infinity;
  for (let i = 0; i < parts; i++) top = max(top, load<f32>(address(args, slot.PARTS + i * slot.PER_PART + slot.PART_LSE) + skip));
  if (top == -Infinity) {
    memory.fill(weights, 0, <usize>parts << 2);
    return top;
  }
  let sum: f32 = 0;
  for (let i = 0; i < parts; i++) {
    const log = load<f32>(address(args, slot.PARTS + i * slot.PER_PART + slot.PART_LSE) + skip);
    const weight = f32x4.extract_lane(exp4(f32x4.splat(log - top)), 0);
    store<f32>(weights + (<usize>i << 2), weight);
    sum += weight;
  }
  for (let i = 0; i < parts; i++) store<f32>(weights + (<usize>i << 2), load<f32>(weights + (<usize>i << 2)) / sum);
  return top + f32x4.extract_lane(log4(f32x4.splat(sum)), 0);
}

function sumUp(args: usize, row: i32, width: i32, parts: i32, weights: usize): void {
  const skip = <usize>row * (<usize>width << 2);
  const to = address(args, slot.OUT) + skip;
  for (let c = 0; c < width; c += 4) {
    const at = skip + (<usize>c << 2);
    let sum = f32x4.splat(0);
    for (let i = 0; i < parts; i++)
      sum = madd(
        v128.load_splat<f32>(weights + (<usize>i << 2)),
        loadPart(address(args, slot.PARTS + i * slot.PER_PART + slot.PART_OUT) + at, width - c, 0),
        sum,
      );
    storePart(to + (<usize>c << 2), width - c, sum);
  }
}
