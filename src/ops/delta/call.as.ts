// A call of delta as the kernels see it: where its tensors lie, and rows moved between them and a thread's own memory.
import { address, real, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";
import * as slot from "./slot";

export let batch: i32 = 0;
export let t: i32 = 0;
export let g: i32 = 0;
export let h: i32 = 0;
/** Widths of a key and of a value. */
export let n: i32 = 0;
export let v: i32 = 0;
export let scale: f32 = 0;
/** Kind of decay. */
export let kind: i32 = 0;
export let chunks: i32 = 0;
export let q: usize = 0;
export let k: usize = 0;
export let values: usize = 0;
export let beta: usize = 0;
export let decay: usize = 0;
/** 0 where absent. */
export let state: usize = 0;
export let final: usize = 0;
export let states: usize = 0;

/** Reads the arguments that all kernels share. */
export function open(args: usize): void {
  batch = whole(args, slot.BATCH);
  t = whole(args, slot.T);
  g = whole(args, slot.KEY_HEADS);
  h = whole(args, slot.HEADS);
  n = whole(args, slot.KEY_WIDTH);
  v = whole(args, slot.VALUE_WIDTH);
  scale = real(args, slot.SCALE);
  kind = whole(args, slot.KIND);
  chunks = whole(args, slot.CHUNKS);
  q = address(args, slot.Q);
  k = address(args, slot.K);
  values = address(args, slot.V);
  beta = address(args, slot.BETA);
  decay = address(args, slot.DECAY);
  state = address(args, slot.STATE);
  final = address(args, slot.FINAL);
  states = address(args, slot.STATES);
}

/** Row of the key head that serves `head`, in a tensor `[rows, g, n]`. */
export function keyRow(base: usize, row: i32, head: i32): usize {
  return base + (<usize>((row * g + (head * g) / h) * n) << 2);
}

/** Row of `width` floats in a tensor `[rows, h, width]`. */
export function headRow(base: usize, row: i32, head: i32, width: i32): usize {
  return base + (<usize>((row * h + head) * width) << 2);
}

/** `size` floats to `room` floats (a multiple of 16), zeros behind, times `factor`. */
export function take(from: usize, size: i32, to: usize, room: i32, factor: f32): void {
  const x = f32x4.splat(factor), end = to + (<usize>room << 2);
  for (; size >= 8; size -= 8, from += 32, to += 32) {
    v128.store(to, f32x4.mul(x, v128.load(from)));
    v128.store(to, f32x4.mul(x, v128.load(from, 16)), 16);
  }
  for (; size > 0; size -= 4, from += 16, to += 16) v128.store(to, f32x4.mul(x, loadPart(from, size, 0)));
  for (; to < end; to += 16) v128.store(to, f32x4.splat(0));
}

/** `size` floats of a padRows row to a tensor. */
export function give(from: usize, size: i32, to: usize): void {
  for (; size >= 8; size -= 8, from += 32, to += 32) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  }
  for (; size > 0; size -= 4, from += 16, to += 16) storePart(to, size, v128.load(from));
}

/** A state `[n, v]` of a tensor to rows of `room` floats. */
export function takeState(from: usize, to: usize, room: i32): void {
  const step = <usize>room << 2;
  for (let c = 0; c < n; c++, from += <usize>v << 2, to += step) take(from, v, to, room, 1);
}

/** Rows of `room` floats to a state `[n, v]` of a tensor. */
export function giveState(from: usize, room: i32, to: usize): void {
  const step = <usize>room << 2;
  for (let c = 0; c < n; c++, from += step, to += <usize>v << 2) give(from, v, to);
}

/** State number `which` of a tensor `[..., n, v]`. */
export function stateAt(base: usize, which: i32): usize {
  return base + <usize>which * (<usize>(n * v) << 2);
}
