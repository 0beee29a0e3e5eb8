import type { Block, Span } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WasmDevice } from "./wasm.ts";

/** A block of the wasm device: bytes of its memory from `offset` on. */
export interface Place extends Block {
  readonly offset: number;
}

/** Byte address of a tensor's first element in its wasm device's memory; 0 where there is no tensor. */
export function addressOf(t: Tensor | undefined): number {
  if (!t) return 0;
  if (t.packing) throw new DeviceError(`internal: [${t.shape}] is packed as ${t.packing.format}`);
  return (t.block as Place).offset + 4 * t.start;
}

/** Where a part of a block begins, in float32 words of the memory. */
export function wordOf({ block, start }: Span): number {
  return (block as Place).offset / 4 + start;
}

/** Byte address of a packed tensor's first panel. */
export function storageOf(t: Tensor): number {
  return (t.block as Place).offset + 4 * t.start;
}

/** The numbers of a plain tensor, where the host works on them in the device's own memory; good until something allocates. */
export function viewOf(t: Tensor): Float32Array {
  const start = addressOf(t) / 4;
  return (t.device as WasmDevice).floats.subarray(start, start + t.size);
}

/** Arguments of a kernel, wherever they are written. */
export type Arguments = number[] | Float64Array;
