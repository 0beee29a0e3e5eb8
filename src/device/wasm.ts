import { wasmKernel } from "../ops/wasm.ts";
import type { Device, Span } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Packing } from "../tensor/packing.ts";
import { isQuant } from "../tensor/quant.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Place, wordOf } from "./address.ts";
import { SCRATCH, SCRATCH_BYTES } from "./layout.ts";
import { availableBytes, Heap } from "./memory.ts";
import { geometryOf } from "./panel.ts";
import { availableThreads, Pool } from "./pool.ts";
import { type Build, chooseBuild } from "./revectorize.ts";

/** How to open a wasm device. */
export interface WasmOptions {
  /** Threads, this one included. Unless given, up to as many as the machine has, as many as are observed to be the fastest. */
  readonly threads?: number | undefined;
  /** Which build of the kernels; the fastest that works here unless given (or set in BIFORM_WASM). */
  readonly build?: Build | undefined;
  /** For tests: whether packed weights are multiplied as bytes of all sizes; where the machine can unless given. */
  readonly dots?: boolean | undefined;
  /** For tests: new memory is filled with NaN, and writing past the end of a block is noticed when it is released. */
  readonly poison?: boolean | undefined;
}

/** What stands behind every block where memory is poisoned: a NaN that no kernel computes. */
const GUARD = 0x7fdead77;
const GUARD_WORDS = 16;

/** Float32 on WebAssembly SIMD kernels, over threads that share one memory of at most 4 GiB. */
export class WasmDevice implements Device {
  readonly kind = "wasm";
  readonly kernel = wasmKernel;
  readonly elementBytes = 4;
  /** Seven eighths of its memory. */
  readonly capacity = 3.5 * 2 ** 30;
  /** The build of the kernels that runs. */
  readonly build: Build;
  /** Whether the machine adds products of bytes of all sizes in one instruction (ops/packed/byte.as.ts): found by trying, once per device. */
  readonly dots: boolean;
  owner: Set<Tensor> | undefined;
  exact = false;
  liveBytes = 0;
  peakBytes = 0;
  readonly #pool: Pool;
  readonly #heap: Heap;
  readonly #poison: boolean;
  readonly #guardBytes: number;
  #floats: Float32Array;

  private constructor(build: Build, pool: Pool, heap: Heap, options: { poison: boolean; dots: boolean }) {
    this.build = build;
    this.#pool = pool;
    this.#heap = heap;
    this.#poison = options.poison;
    this.#guardBytes = options.poison ? 4 * GUARD_WORDS : 0;
    this.#floats = new Float32Array(heap.memory.buffer);
    this.dots = options.dots;
  }

  /** Compiles the kernels and starts the threads. Throws DeviceError where the machine has no SIMD or shared memory. */
  static async open(options: WasmOptions = {}): Promise<WasmDevice> {
    const threads = options.threads ?? availableThreads();
    if (!Number.isInteger(threads) || threads < 1 || threads > 64)
      throw new DeviceError(`wasm threads: got ${threads}, expected a whole number from 1 to 64`);
    const start = SCRATCH + threads * SCRATCH_BYTES;
    const memory = sharedMemory(start);
    const { build, module } = await chooseBuild(options.build);
    const pool = await Pool.start(module, memory, threads, options.threads === undefined ? "observed" : "all");
    const { poison = false, dots = pool.ask("takesBytes") === 1 } = options;
    return new WasmDevice(build, pool, new Heap(memory, start), { poison, dots });
  }

  packedBytes(shape: readonly number[], packing: Packing): number {
    return geometryOf(shape, packing).bytes;
  }

  /** Whole numbers are multiplied as they lie, in strips of 64 rows; what is unpacked first is unpacked anew for each part (LOG.md). */
  rowsAtOnce(packing: Packing | undefined): number {
    return packing && isQuant(packing.format) ? 128 : 256;
  }

  get freeBytes(): number {
    return Math.min(this.#heap.free, availableBytes());
  }

  /** Bytes of memory that tensors have ever reached to: `peakBytes`, and what lies unused between them. */
  get reachBytes(): number {
    return this.#heap.reach;
  }

  get threads(): number {
    return this.#pool.threads;
  }

  /** The whole memory as floats; ask again after anything that allocates. */
  get floats(): Float32Array {
    if (this.#floats.buffer !== this.#heap.memory.buffer) this.#floats = new Float32Array(this.#heap.memory.buffer);
    return this.#floats;
  }

  /** A piece of memory as bytes, for a file to be read into. Valid as long as what lies there. */
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#heap.memory.buffer, address, length);
  }

  /**
   * Runs a kernel, or several one after the other over the same arguments, on all threads or at most `threads` of them, and
   * returns when all is done. Addresses are in bytes (`addressOf`). Small work is best done with `threads` 1: sharing it
   * costs about a microsecond.
   */
  launch(kernel: string | readonly string[], args: readonly number[], threads?: number): void {
    this.#pool.launch(kernel, args, threads);
  }

  /** Lends memory that holds whole numbers (ids, targets, pages) for as long as `use` runs, which gets their address. */
  lend(values: Int32Array, use: (address: number) => void): void {
    if (values.length === 0) {
      use(0);
      return;
    }
    const address = this.#heap.take(values.byteLength);
    try {
      new Int32Array(this.#heap.memory.buffer, address, values.length).set(values);
      use(address);
    } finally {
      this.#heap.give(address, values.byteLength);
    }
  }

  allocate(elements: number): Place {
    const bytes = elements * 4;
    const offset = this.#heap.take(bytes + this.#guardBytes);
    this.liveBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    if (this.#poison) {
      this.floats.fill(Number.NaN, offset / 4, offset / 4 + elements);
      this.#guard(offset, elements).fill(GUARD);
    }
    return { offset, elements };
  }

  release(block: Place): void {
    const damaged = this.#poison && this.#guard(block.offset, block.elements).some((word) => word !== GUARD);
    if (this.#poison) this.floats.fill(Number.NaN, block.offset / 4, block.offset / 4 + block.elements);
    this.liveBytes -= block.elements * 4;
    this.#heap.give(block.offset, block.elements * 4 + this.#guardBytes);
    if (damaged) throw new DeviceError(`internal: a kernel wrote past the end of a block of ${block.elements} numbers`);
  }

  write(to: Span, values: ArrayLike<number>): void {
    this.floats.set(values, wordOf(to));
  }

  upload(to: Span, bytes: Uint8Array): void {
    this.bytes(4 * wordOf(to), 4 * to.size).set(bytes);
  }

  copy(from: Span, to: Span, home: Device = this): void {
    if (!(home instanceof WasmDevice))
      throw new DeviceError(
        `copy: got memory of a ${home.kind} device, expected wasm; keep a model on devices of one kind`,
      );
    const start = wordOf(from);
    this.floats.set(home.floats.subarray(start, start + from.size), wordOf(to));
  }

  async download(from: Span): Promise<Uint8Array<ArrayBuffer>> {
    return this.bytes(4 * wordOf(from), 4 * from.size).slice();
  }

  async fence(): Promise<void> {}

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  close(): void {
    this.#pool.close();
  }

  #guard(offset: number, elements: number): Int32Array {
    return new Int32Array(this.#heap.memory.buffer, offset + elements * 4, GUARD_WORDS);
  }
}

function sharedMemory(bytes: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536), maximum: 65536, shared: true });
  } catch (error) {
    throw new DeviceError(
      `wasm memory: got "${(error as Error).message}", expected shared memory of up to 4 GiB; ` +
        "in a page, serve it with COOP and COEP headers; elsewhere, lift the limit on virtual memory",
    );
  }
}
