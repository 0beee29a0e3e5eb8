import type { Block } from "../../tensor/device.ts";
import { DeviceError } from "../../tensor/error.ts";

/** A buffer that may be replaced by a larger one that begins with what it held. */
export interface Arena {
  buffer: GPUBuffer;
}

/** A block of a WebGPU device: bytes of a buffer from `offset` on. Blocks of caches share one buffer, every other has its own. */
export interface Stretch extends Block {
  readonly arena: Arena;
  readonly offset: number;
}

const USAGE = 0x80 | 0x04 | 0x08; // STORAGE, COPY_SRC, COPY_DST
/** Freed buffers are kept for the next request of their size up to these bytes, or as many as are in use. */
const KEPT = 64 * 2 ** 20;

/** Bytes that a request gets: of all sizes only those with three significant bits, so that freed ones are found again. */
function sizeFor(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 2));
  return Math.max(256, Math.ceil(bytes / step) * step);
}

/** The most bytes that a request may have so that what it gets is no more than `most`. */
function wholeSize(most: number): number {
  const step = 2 ** (Math.floor(Math.log2(most)) - 2);
  return Math.floor(most / step) * step;
}

/** Buffers of a device by size, kept when they are freed: making one takes longer than most launches. */
export class Buffers {
  readonly #device: GPUDevice;
  readonly #most: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  #kept = 0;
  #used = 0;

  constructor(device: GPUDevice, most: number) {
    this.#device = device;
    this.#most = most;
  }

  /** A buffer of at least `bytes`, contents undefined. Throws DeviceError where the adapter has none of that size. */
  take(bytes: number): GPUBuffer {
    // What is rounded up may be more than there is in one buffer, where what is asked for is not.
    const size = Math.max(4 * Math.ceil(bytes / 4), Math.min(sizeFor(bytes), this.#most));
    this.#used += size;
    const known = this.#free.get(size)?.pop();
    if (known) {
      this.#kept -= size;
      return known;
    }
    return this.make(size);
  }

  /** A new buffer of just `bytes`. Throws DeviceError. */
  make(bytes: number): GPUBuffer {
    if (bytes > this.#most)
      throw new DeviceError(
        `webgpu memory: got a request for ${Math.ceil(bytes / 2 ** 20)} MiB at once, expected at most the adapter's ` +
          `${Math.floor(this.#most / 2 ** 20)} MiB; use a smaller model, batch or context`,
      );
    return this.#device.createBuffer({ size: bytes, usage: USAGE });
  }

  /** Takes a buffer back. Commands that were enqueued before still find in it what they expect. */
  give(buffer: GPUBuffer): void {
    const { size } = buffer;
    this.#used -= size;
    this.#kept += size;
    const list = this.#free.get(size);
    if (list) list.push(buffer);
    else this.#free.set(size, [buffer]);
  }

  /** Whether more is kept than is worth it: call `trim` once nothing enqueued refers to it. */
  get excess(): boolean {
    return this.#kept > Math.max(KEPT, this.#used);
  }

  trim(): void {
    for (const list of this.#free.values()) for (const buffer of list) buffer.destroy();
    this.#free.clear();
    this.#kept = 0;
  }
}

/** Pieces of one size in one buffer, so that a kernel finds any of them by its number: what pages of caches are. */
class Pieces {
  readonly arena: Arena;
  /** Bytes of a piece. */
  readonly size: number;
  readonly #free: number[] = [];
  readonly #most: number;
  #made = 0;

  constructor(buffer: GPUBuffer, size: number, most: number) {
    this.arena = { buffer };
    this.size = size;
    this.#most = Math.floor(most / size);
  }

  /** Pieces that the buffer has room for. */
  get room(): number {
    return Math.floor(this.arena.buffer.size / this.size);
  }

  /** Whether all that were taken have been given back. */
  get idle(): boolean {
    return this.#free.length === this.#made;
  }

  /**
   * Offset of a free piece. Where the buffer is full `grow` puts a larger one, of the bytes that it is told, in its place.
   * Throws DeviceError where the adapter has no larger one.
   */
  take(grow: (bytes: number) => void): number {
    const known = this.#free.pop();
    if (known !== undefined) return known;
    if (this.#made === this.room) {
      if (this.#made >= this.#most)
        throw new DeviceError(
          `webgpu cache: got a request for more than ${this.#most} pages of ${this.size} bytes in a layer, expected as many at most, ` +
            "since the adapter's largest binding holds no more; use a shorter context, fewer sequences or a smaller cache type",
        );
      grow(Math.min(this.#most, Math.max(4, 2 * this.#made)) * this.size);
    }
    return this.#made++ * this.size;
  }

  give(offset: number): void {
    this.#free.push(offset);
  }
}

/** Blocks of pools: those of one pool lie in one buffer, which is there as long as any of them is. */
export class Pools {
  readonly #buffers: Buffers;
  readonly #most: number;
  readonly #pieces = new WeakMap<object, Pieces>();
  readonly #homes = new WeakMap<Block, { readonly pieces: Pieces; readonly pool: object }>();

  /** `most`: bytes of one pool at most. */
  constructor(buffers: Buffers, most: number) {
    this.#buffers = buffers;
    this.#most = wholeSize(most);
  }

  /** A block of a pool, all of whose blocks have as many elements; `copy` is told to move what a buffer holds to a larger one. Throws DeviceError. */
  take(elements: number, pool: object, copy: (from: GPUBuffer, to: GPUBuffer) => void): Stretch {
    let pieces = this.#pieces.get(pool);
    if (!pieces) {
      const bytes = 4 * elements;
      const first = Math.max(1, Math.min(4, Math.floor(this.#most / bytes)));
      pieces = new Pieces(this.#buffers.take(first * bytes), bytes, this.#most);
      this.#pieces.set(pool, pieces);
    }
    const { arena } = pieces;
    const offset = pieces.take((bytes) => {
      const { buffer } = arena;
      const larger = this.#buffers.take(bytes);
      copy(buffer, larger);
      this.#buffers.give(buffer);
      arena.buffer = larger;
    });
    const block: Stretch = { arena, offset, elements };
    this.#homes.set(block, { pieces, pool });
    return block;
  }

  /** Takes a block back, if it is a pool's. */
  give(block: Stretch): boolean {
    const home = this.#homes.get(block);
    if (!home) return false;
    const { pieces, pool } = home;
    pieces.give(block.offset);
    if (pieces.idle) {
      this.#pieces.delete(pool);
      this.#buffers.give(pieces.arena.buffer);
    }
    return true;
  }
}
