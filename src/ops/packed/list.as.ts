// Several contractions in one launch: their pieces are numbered one after the other, and each thread goes through the numbers upwards.
import { address, stride, whole } from "../../device/thread.as";
import * as slot from "./slot";

/** Arguments of the contraction at hand, the number of its first piece and of the one behind its last; pieces of one group. */
let at: usize = 0;
let start: i32 = 0;
let end: i32 = 0;
let each: i32 = 0;
/** The contraction and the group whose activations lie in scratch; -1 where none do. */
let laid: i32 = -1;
let laidGroup: i32 = 0;

/** Goes to the first contraction. Returns the pieces of all. */
export function begin(args: usize): i32 {
  let all = 0, one = args;
  for (let i = whole(args, slot.COUNT); i > 0; i--, one += slot.EACH << 3) all += whole(one, slot.GROUPS) * runsOf(one);
  laid = -1;
  open(args, 0);
  return all;
}

function open(args: usize, from: i32): void {
  at = args;
  each = runsOf(args);
  start = from;
  end = from + whole(args, slot.GROUPS) * each;
}

/** Whether bytes of all sizes are multiplied. */
// @ts-ignore: decorator
@inline
export function dotsOf(args: usize): bool {
  return ASC_FEATURE_RELAXED_SIMD && whole(args, slot.DOTS) != 0;
}

/** Panels of a group. */
// @ts-ignore: decorator
@inline
export function panelsOf(args: usize): i32 {
  return (whole(args, slot.INNER) + 3) >> 2;
}

/** Pieces of a group. */
export function runsOf(args: usize): i32 {
  const run = whole(args, slot.RUN);
  return (panelsOf(args) + run - 1) / run;
}

/** The arguments of the contraction that piece `t` is of; pieces are asked for upwards. */
export function contractionOf(t: i32): usize {
  while (t >= end) open(at + (slot.EACH << 3), end);
  return at;
}

/** The group of piece `t` of the contraction at hand, and the first of its panels. */
export function groupOf(t: i32): i32 {
  return (t - start) / each;
}
export function panelOf(t: i32): i32 {
  return ((t - start) % each) * whole(at, slot.RUN);
}

/** Whether other activations lie in scratch than those of this group of the contraction at hand; from now on its own do. */
export function changes(group: i32): bool {
  const own = whole(at, slot.SAME), ownGroup = stride(at, slot.X_GROUP) ? group : 0;
  if (own == laid && ownGroup == laidGroup) return false;
  laid = own;
  laidGroup = ownGroup;
  return true;
}

/** Where a group's activations are. */
export function rowsAt(group: i32): usize {
  return address(at, slot.X) + <usize>group * stride(at, slot.X_GROUP);
}
