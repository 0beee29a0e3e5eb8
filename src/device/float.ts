import type { Block } from "../tensor/device.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A block of the reference device: an array of float64. */
export interface Floats extends Block {
  readonly data: Float64Array;
}

/** The numbers of a tensor on the reference device, where they lie; undefined where there is no tensor. */
export function dataOf(t: Tensor): Float64Array;
export function dataOf(t: Tensor | undefined): Float64Array | undefined;
export function dataOf(t: Tensor | undefined): Float64Array | undefined {
  return t && (t.block as Floats).data.subarray(t.start, t.start + t.size);
}
