import type { Block, Span } from "../tensor/device.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A block of the reference device: an array of float64. */
export interface Floats extends Block {
  readonly data: Float64Array;
}

/** The numbers of a tensor on the reference device, where they lie; undefined where there is no tensor. */
export function dataOf(t: Tensor): Float64Array;
export function dataOf(t: Tensor | undefined): Float64Array | undefined;
export function dataOf(t: Tensor | undefined): Float64Array | undefined {
  return t && floatsOf(t);
}

/** The numbers of a part of a block. */
export function floatsOf({ block, start, size }: Span): Float64Array {
  const { data } = block as Floats;
  // Most tensors are a whole block, and a view costs as much as a small op.
  return size === data.length ? data : data.subarray(start, start + size);
}

/** The same as bytes. */
export function bytesOf(span: Span): Uint8Array {
  const { buffer, byteOffset, byteLength } = floatsOf(span);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
