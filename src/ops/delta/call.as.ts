// A call of delta as the kernels see it: where its tensors lie, and rows moved between them and a thread's own memory.
import { address, real, whole } from "../../device/thread.as";
import { loadPart, storePart } from "../simd.as";

/** Kinds of decay. */
export const PER_HEAD: i32 = 1;
export const PER_CHANNEL: i32 = 2;

export let batch: i32 = 0;
export let t: i32 = 0;
export let g: i32 = 0;
export let h: i32 = 0;
/** Widths of a key and of a value. */
export let n: i32 = 0;
export let v: i32 = 0;
export let scale: f32 = 0;
/** 0: no decay. */
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

/** Reads the arguments that all kernels share: wasm.ts lists them. */
export function open(args: usize): void {
  batch = whole(args, 0);
  t = whole(args, 1);
  g = whole(args, 2);
  h = whole(args, 3);
  n = whole(args, 4);
  v = whole(args, 5);
  scale = real(args, 6);
  kind = whole(args, 7);
  chunks = whole(args, 8);
  q = address(args, 9);
  k = address(args, 10);
  values = address(args, 11);
  beta = address(args, 12);
  decay = address(args, 13);
  state = address(args, 14);
  final = address(args, 15);
  states = address(args, 16);
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

/** `size` floats of a padded row to a tensor. */
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
