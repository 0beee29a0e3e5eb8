import { DeviceError } from "../tensor/error.ts";
import { ALIGN } from "./layout.ts";

const PAGE = 65536;
/** Largest block, in bytes, that is kept for the next request of its size instead of joining its neighbours. */
const SMALL = 256 * 1024;

/**
 * Bytes that a request gets: whole cache lines, and of a small block at most five significant bits. So tensors that grow by a row
 * per token find the blocks of those before them, and few sizes wait; it costs a sixteenth at most.
 */
function sizeFor(bytes: number): number {
  const size = Math.max(ALIGN, bytes);
  const step = size > SMALL ? ALIGN : Math.max(ALIGN, 2 ** (27 - Math.clz32(size)));
  return Math.ceil(size / step) * step;
}

/** A free stretch of memory, in bytes. */
interface Gap {
  start: number;
  size: number;
}

/**
 * Hands out aligned stretches of a wasm memory from `start` on: best fit, neighbours merged when given back, and what nobody had
 * before, which the machine has yet to back with memory, where nothing fits. Best fit keeps the large gaps that the next training
 * step asks for again. Small blocks wait for the next request of their size, since decoding asks for the same ones at every layer;
 * they join the gaps before anything new is taken.
 */
export class Heap {
  readonly memory: WebAssembly.Memory;
  /** Gaps by size, then address. */
  readonly #gaps: Gap[] = [];
  readonly #byStart = new Map<number, Gap>();
  readonly #byEnd = new Map<number, Gap>();
  /** Small blocks given back, by size, and their bytes. */
  readonly #kept = new Map<number, number[]>();
  #keptBytes = 0;
  readonly #start: number;
  /** Where the memory ends, and what was ever handed out: gaps lie before the latter. */
  #end: number;
  #last: number;

  constructor(memory: WebAssembly.Memory, start: number) {
    this.memory = memory;
    this.#start = start;
    this.#end = memory.buffer.byteLength;
    this.#last = start;
  }

  /** Address of `bytes` bytes, contents undefined. Throws DeviceError where the memory is full. */
  take(bytes: number): number {
    const size = sizeFor(bytes);
    const kept = size <= SMALL ? this.#kept.get(size)?.pop() : undefined;
    if (kept !== undefined) {
      this.#keptBytes -= size;
      return kept;
    }
    let at = this.#firstAtLeast(size);
    if (at === this.#gaps.length && this.#keptBytes) {
      this.#joinKept();
      at = this.#firstAtLeast(size);
    }
    if (at === this.#gaps.length) return this.#extend(size);
    const gap = this.#gaps[at]!;
    this.#remove(at);
    if (gap.size > size) this.#insert({ start: gap.start + size, size: gap.size - size });
    return gap.start;
  }

  /** Gives back what `take` returned for so many bytes. Nothing is noted of what is out: a table of thousands costs more than the rest. */
  give(start: number, bytes: number): void {
    const size = sizeFor(bytes);
    if (size > SMALL) {
      this.#join(start, size);
      return;
    }
    const kept = this.#kept.get(size);
    if (kept) kept.push(start);
    else this.#kept.set(size, [start]);
    this.#keptBytes += size;
  }

  /** Makes a gap of a block, together with those beside it. */
  #join(start: number, bytes: number): void {
    let [from, size] = [start, bytes];
    const before = this.#byEnd.get(start);
    if (before) {
      this.#remove(this.#indexOf(before));
      from = before.start;
      size += before.size;
    }
    const after = this.#byStart.get(from + size);
    if (after) {
      this.#remove(this.#indexOf(after));
      size += after.size;
    }
    this.#insert({ start: from, size });
  }

  #joinKept(): void {
    for (const [size, starts] of this.#kept) for (const start of starts) this.#join(start, size);
    this.#kept.clear();
    this.#keptBytes = 0;
  }

  /** Bytes between the first and the last that was ever handed out: what the machine has had to back with memory. */
  get reach(): number {
    return this.#last - this.#start;
  }

  /** Bytes that nothing holds: all gaps, and what was never handed out, memory that is yet to be grown included. */
  get free(): number {
    return this.#gaps.reduce((sum, { size }) => sum + size, 65536 * PAGE - this.#last + this.#keptBytes);
  }

  /** Address of `size` bytes that reach beyond all that was handed out before; the gap at its end is a part of them. */
  #extend(size: number): number {
    const before = this.#byEnd.get(this.#last);
    const start = before?.start ?? this.#last;
    if (start + size > this.#end) this.#grow(start + size - this.#end, size);
    if (before) this.#remove(this.#indexOf(before));
    this.#last = start + size;
    return start;
  }

  /** Grows the memory by `missing` bytes at least, for a request of `size`. */
  #grow(missing: number, size: number): void {
    // A sixteenth more than asked, so that many small requests do not each grow the memory.
    const most = 65536 - this.#end / PAGE;
    const needed = Math.ceil(missing / PAGE);
    const pages = Math.min(Math.max(needed, Math.ceil(this.#end / PAGE / 16)), most);
    try {
      if (pages < needed) throw new RangeError();
      this.memory.grow(pages);
    } catch {
      const [got, used] = [size, this.#end].map((n) => Math.ceil(n / 2 ** 20));
      throw new DeviceError(
        `wasm memory: got a request for ${got} MiB on top of ${used} MiB, expected at most 4096 MiB in all; ` +
          "use a smaller batch, context or model, or free tensors",
      );
    }
    this.#end += pages * PAGE;
  }

  #insert(gap: Gap): void {
    this.#gaps.splice(this.#indexOf(gap), 0, gap);
    this.#byStart.set(gap.start, gap);
    this.#byEnd.set(gap.start + gap.size, gap);
  }

  #remove(at: number): void {
    const [gap] = this.#gaps.splice(at, 1);
    this.#byStart.delete(gap!.start);
    this.#byEnd.delete(gap!.start + gap!.size);
  }

  #firstAtLeast(size: number): number {
    return this.#indexOf({ start: 0, size });
  }

  /** Where `gap` stands, or belongs, in the order by size and address. */
  #indexOf(gap: Gap): number {
    let [low, high] = [0, this.#gaps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#gaps[middle]!;
      if (other.size < gap.size || (other.size === gap.size && other.start < gap.start)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Bytes of memory that the machine (or what confines this process) still has; without end where nothing tells. */
export function availableBytes(): number {
  return globalThis.process?.availableMemory?.() ?? Number.POSITIVE_INFINITY;
}
