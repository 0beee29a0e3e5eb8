import type { Packing } from "./packing.ts";
import type { Tensor } from "./tensor.ts";

/** Numbers of either precision. */
export type Numbers = Float64Array | Float32Array;

/** A piece of a device's memory. Where it lies and how, only the device knows that made it. */
export interface Block {
  readonly elements: number;
}

/** Elements of a block, counted from its start: what a tensor shows, or a part of a page. */
export interface Span {
  readonly block: Block;
  readonly start: number;
  readonly size: number;
}

/** All of a block. */
export function whole(block: Block): Span {
  return { block, start: 0, size: block.elements };
}

/**
 * A kernel as a device is asked for it: its name, and the places among its arguments of what it does not only read. What it
 * `writes`, whole or in part, shares no block with what it reads; what it `updates` is read as well, and may lie in a block
 * that other arguments show (in place).
 */
export interface Operation {
  readonly name: string;
  readonly writes: readonly number[];
  readonly updates?: readonly number[];
}

/** A device's own code of an operation: takes tensors, numbers and arrays of the host, enqueues the work and returns. */
export type Kernel = (...args: never[]) => unknown;

/** What a tensor and an op need of the device that they are on. `device/` implements it; DESIGN.md says what it promises. */
export interface Device {
  /** Its kind, for reports: nothing may depend on it. */
  readonly kind: string;
  /** Bytes per element: 8 (float64) or 4 (float32). */
  readonly elementBytes: 4 | 8;
  /** Threads that run its kernels. */
  readonly threads: number;
  /** The build of its kernels, where speed is measured by build (`biform tune`). */
  readonly build?: string;
  /** Bytes of weights that one such device has room for, beside caches and activations. */
  readonly capacity: number;
  /** Bytes that a weight takes which lies packed, in a layout of the device's own; absent where weights are kept plain. */
  packedBytes?(shape: readonly number[], packing: Packing): number;
  /** Its code of an operation; undefined where it has none. Devices that share this function share their code. */
  readonly kernel: (of: Operation) => Kernel | undefined;
  /**
   * Memory for `elements` numbers, contents undefined. Blocks of one `pool`, all of one size, may lie so that a kernel finds any of
   * them by its number. Throws DeviceError where it is known that there is none.
   */
  allocate(elements: number, pool?: object): Block;
  /** Takes a block back once all that was enqueued before is done. */
  release(block: Block): void;
  /** Copies numbers from the host, in the order of what is enqueued; `values` may change once it has returned. */
  write(to: Span, values: ArrayLike<number>): void;
  /** The same of bytes as they lie on the device. */
  upload(to: Span, bytes: Uint8Array): void;
  /** Copies elements of another block of this device, or of `home` where that is another. Throws DeviceError where it cannot. */
  copy(from: Span, to: Span, home?: Device): void;
  /** Bytes as they lie on the device once all that was enqueued before is done. */
  download(from: Span): Promise<Uint8Array<ArrayBuffer>>;
  /** Comes when all that was enqueued before is done. */
  fence(): Promise<void>;
  /** Bytes held by tensors now, and the most there ever were since `resetPeak`. */
  readonly liveBytes: number;
  readonly peakBytes: number;
  /** Bytes that can still be allocated, as far as is known: more than is there where the device cannot tell. */
  readonly freeBytes: number;
  /**
   * Gets ready for what `body` would enqueue, where that takes a device time: nothing of it runs, and what is made in it holds no
   * memory and must not outlive it. Absent where there is nothing to get ready.
   */
  rehearse?(body: () => void): Promise<void>;
  /**
   * Rows of a prompt at which products with a weight that lies so (plain unless given) run at full speed, so that no more of them need be
   * in memory at a time; absent where that is not known.
   */
  rowsAtOnce?(packing: Packing | undefined): number;
  resetPeak(): void;
  /** The innermost open scope: tensors made now belong to it (see `scope`). */
  owner: Set<Tensor> | undefined;
  /** Set while products with packed weights are to take activations as they are, however few rows there are of them. */
  exact?: boolean;
  /** Rows up to which what one launch makes is to lie in one block; absent where that makes no difference. */
  readonly together?: number;
  /** Whether attention over chosen keys reads those alone, wherever they lie; else they are to be gathered first where they are few. */
  readonly picks?: boolean;
  /** Ends threads and drops memory. */
  close(): void;
}
