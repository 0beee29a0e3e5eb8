import { DeviceError } from "../../tensor/error.ts";

// For tests: memory is NaN before it is written, no block begins where its buffer does, and a write beside a block is noticed.

/** What stands on both sides of every block, and how many bytes of it: whole vectors of four, as wherever blocks share a buffer. */
const GUARD = 0x7fdead77;
export const GUARD_BYTES = 64;

/** A block that is given back, as it will be looked at. */
export interface Guarded {
  readonly buffer: GPUBuffer;
  readonly elements: number;
}

/** What the buffer of a block of so many numbers holds at first. */
export function poisonFor(elements: number): Uint32Array<ArrayBuffer> {
  const guard = GUARD_BYTES / 4;
  return new Uint32Array(elements + 2 * guard).fill(GUARD).fill(0x7fc00000, guard, guard + elements);
}

/** Where the guards of a block stand: before it and behind it. */
export const guardsOf = ({ buffer, elements }: Guarded) => [
  { buffer, at: 0 },
  { buffer, at: GUARD_BYTES + 4 * elements },
];

/** Throws DeviceError where what stood beside these blocks has changed; `bytes` are their guards, one block's after another's. */
export function checkGuards(blocks: readonly Guarded[], bytes: Uint8Array<ArrayBuffer>): void {
  const bad = new Uint32Array(bytes.buffer).findIndex((word) => word !== GUARD);
  if (bad < 0) return;
  const guard = Math.floor((4 * bad) / GUARD_BYTES);
  const { elements } = blocks[Math.floor(guard / 2)]!;
  const where = guard % 2 ? "past the end" : "before the start";
  throw new DeviceError(`internal: a kernel wrote ${where} of a block of ${elements} numbers`);
}
