import { DeviceError } from "../../tensor/error.ts";

// For tests: memory is NaN before it is written, and a write past the end of a block is noticed.

/** What stands behind every block, and how many bytes of it. */
const GUARD = 0x7fdead77;
export const GUARD_BYTES = 64;

/** A block that is given back, as it will be looked at. */
export interface Guarded {
  readonly buffer: GPUBuffer;
  readonly elements: number;
}

/** What a block of so many numbers holds at first, and behind it. */
export function poisonFor(elements: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array(elements + GUARD_BYTES / 4).fill(0x7fc00000).fill(GUARD, elements);
}

/** Throws DeviceError where what stood behind these blocks has changed; `bytes` is what stands there, one block's after another's. */
export function checkGuards(blocks: readonly Guarded[], bytes: Uint8Array<ArrayBuffer>): void {
  const bad = new Uint32Array(bytes.buffer).findIndex((word) => word !== GUARD);
  if (bad < 0) return;
  const { elements } = blocks[Math.floor((4 * bad) / GUARD_BYTES)]!;
  throw new DeviceError(`internal: a kernel wrote past the end of a block of ${elements} numbers`);
}
