import { webgpuKernel } from "../ops/webgpu.ts";
import type { Device, Span } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Packing } from "../tensor/packing.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { openAdapter, type Traits } from "./gpu/adapter.ts";
import { packedGeometry } from "./gpu/geometry.ts";
import { checkGuards, GUARD_BYTES, type Guarded, guardsOf, poisonFor } from "./gpu/guard.ts";
import { Launcher, placeOf } from "./gpu/launcher.ts";
import { type Arena, Buffers, Pools, type Stretch } from "./gpu/memory.ts";
import { Queue } from "./gpu/queue.ts";

/** How to open a WebGPU device. */
export interface WebgpuOptions {
  /** The GPUs to choose from; the browser's or the package `webgpu`'s unless given. */
  readonly gpu?: GPU | undefined;
  /** Features to do without, as if the adapter had none. */
  readonly without?: readonly string[] | undefined;
  /**
   * Numbers that products are made of: in "f16" those of few rows with packed weights add up fours in 16 bits, to about 1e-3, and those of
   * many rows round both operands to 16 bits where the adapter has subgroup matrices of these: beyond 65504 there is no number.
   */
  readonly products?: "f32" | "f16" | undefined;
  /** For tests: new memory is filled with NaN, blocks begin within their buffers, and writing beside one fails the next `fence`. */
  readonly poison?: boolean | undefined;
}

/** Bytes of the host that are copied by way of the ring; larger ones are written at once. */
const SMALL = 1 << 16;

/** Float32 on WGSL kernels, on whatever GPU there is; it enqueues, and only reading is awaited. */
export class WebgpuDevice implements Device {
  readonly kind = "webgpu";
  readonly kernel = webgpuKernel;
  readonly elementBytes = 4;
  readonly threads = 1;
  /** Products of few rows, of as many as have a kernel, bind their results once. */
  readonly together = 8;
  readonly picks = true;
  /** The memory of a GPU is told by nobody: what does not fit fails when it is asked for. */
  readonly capacity = Number.POSITIVE_INFINITY;
  readonly traits: Traits;
  owner: Set<Tensor> | undefined;
  exact = false;
  liveBytes = 0;
  peakBytes = 0;
  readonly #device: GPUDevice;
  readonly #queue: Queue;
  readonly #buffers: Buffers;
  readonly #launcher: Launcher;
  readonly #poison: boolean;
  readonly #pools: Pools;
  /** Where all blocks lie of what is rehearsed: nothing is written there and nothing read. */
  readonly #stage: Arena;
  #launches = 0;
  #reads = 0;
  #bytes = 0;
  readonly #checks: Guarded[] = [];
  #failure: DeviceError | undefined;
  /** Shaders of what is rehearsed now (see `rehearse`). */
  #rehearsed: Promise<void>[] | undefined;

  private constructor(device: GPUDevice, traits: Traits, poison: boolean) {
    this.#device = device;
    this.traits = traits;
    this.#poison = poison;
    this.#queue = new Queue(device, traits.alignment);
    this.#buffers = new Buffers(device, Math.min(traits.buffer, 0xfffffffc));
    this.#pools = new Pools(this.#buffers, Math.min(traits.binding, traits.buffer));
    this.#stage = { buffer: this.#buffers.take(16) };
    const fail = (error: DeviceError) => {
      this.#failure ??= error;
    };
    this.#launcher = new Launcher(device, this.#queue, this.#buffers, traits, fail);
    device.addEventListener("uncapturederror", ({ error }) => {
      const memory = error.constructor.name === "GPUOutOfMemoryError";
      const remedy = memory ? "use a smaller model, batch or context" : "update the driver, or use another device";
      this.#failure ??= new DeviceError(`webgpu: the driver reports "${error.message.split("\n")[0]}"; ${remedy}`);
    });
    void device.lost.then(({ message, reason }) => {
      // One that is closed here has failed already.
      this.#failure ??= new DeviceError(
        `webgpu: the device was lost (${message || reason}); open it again, from what was saved`,
      );
    });
  }

  /** Opens a GPU. Throws DeviceError where there is none. */
  static async open({
    gpu,
    without = [],
    poison = false,
    products = "f32",
  }: WebgpuOptions = {}): Promise<WebgpuDevice> {
    const { device, traits } = await openAdapter(gpu, without, products);
    return new WebgpuDevice(device, traits, poison);
  }

  /** The adapter, where speed is measured by build. */
  get build(): string {
    return this.traits.name;
  }

  get freeBytes(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** So far: launches (those rehearsed too), submissions, reads and their bytes, and shaders that a launch had to wait for. */
  get counts(): Readonly<Record<"launches" | "submissions" | "reads" | "bytes" | "waited", number>> {
    const { submissions } = this.#queue;
    return {
      launches: this.#launches,
      submissions,
      reads: this.#reads,
      bytes: this.#bytes,
      waited: this.#launcher.waited,
    };
  }

  async rehearse(body: () => void): Promise<void> {
    const outer = this.#rehearsed;
    const [live, peak] = [this.liveBytes, this.peakBytes];
    const rehearsed: Promise<void>[] = [];
    this.#queue.flush();
    this.#rehearsed = rehearsed;
    try {
      body();
      this.#queue.flush();
    } finally {
      this.#queue.take();
      this.#rehearsed = outer;
      [this.liveBytes, this.peakBytes] = [live, peak];
    }
    await Promise.all(rehearsed);
  }

  packedBytes(shape: readonly number[], packing: Packing): number {
    return packedGeometry(shape, packing).bytes;
  }

  allocate(elements: number, pool?: object): Stretch {
    this.#check();
    if (this.#rehearsed) return { arena: this.#stage, offset: 0, elements };
    const block = this.#take(elements, pool);
    this.liveBytes += 4 * elements;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return block;
  }

  #take(elements: number, pool: object | undefined): Stretch {
    if (pool) return this.#pools.take(elements, pool, (from, to) => void this.#queue.copy(from, 0, to, 0, from.size));
    if (!this.#poison) return { arena: { buffer: this.#buffers.take(4 * elements) }, offset: 0, elements };
    // A new buffer, which nothing that is enqueued refers to: it may be filled at once.
    const filled = poisonFor(elements);
    const buffer = this.#buffers.make(filled.byteLength);
    this.#device.queue.writeBuffer(buffer, 0, filled);
    return { arena: { buffer }, offset: GUARD_BYTES, elements };
  }

  release(block: Stretch): void {
    if (block.arena === this.#stage) return;
    this.liveBytes -= 4 * block.elements;
    if (this.#pools.give(block)) return;
    if (this.#poison) this.#checks.push({ buffer: block.arena.buffer, elements: block.elements });
    else this.#buffers.give(block.arena.buffer);
  }

  write(to: Span, values: ArrayLike<number>): void {
    this.#put(to, values instanceof Float32Array ? values : Float32Array.from(values));
  }

  upload(to: Span, bytes: Uint8Array): void {
    this.#put(to, bytes);
  }

  copy(from: Span, to: Span, home: Device = this): void {
    if (home !== this)
      throw new DeviceError(
        `copy: got memory of another device (${home.kind}), expected this one's; keep a model on one GPU`,
      );
    const [source, target, bytes] = [placeOf(from), placeOf(to), 4 * from.size];
    if (bytes === 0 || this.#rehearsed) return;
    if (source.buffer !== target.buffer) {
      this.#queue.copy(source.buffer, source.at, target.buffer, target.at, bytes);
      return;
    }
    // A copy within one buffer is not allowed.
    const between = this.#buffers.take(bytes);
    this.#queue.copy(source.buffer, source.at, between, 0, bytes);
    this.#queue.copy(between, 0, target.buffer, target.at, bytes);
    this.#buffers.give(between);
  }

  async download(from: Span): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    const { buffer, at } = placeOf(from);
    const bytes = await this.#fetch([{ buffer, at }], 4 * from.size);
    await this.#settle();
    return bytes;
  }

  async fence(): Promise<void> {
    if (this.#rehearsed) return;
    // Whoever asks may go on to enqueue: what belongs together goes to the GPU together.
    await Promise.resolve();
    this.#queue.submit();
    await this.#device.queue.onSubmittedWorkDone();
    await this.#settle();
  }

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  close(): void {
    this.#failure ??= new DeviceError("webgpu: got a launch after close, expected none; open another device");
    this.#device.destroy();
  }

  /** Enqueues a shader (see `Launcher.launch`). */
  launch(...call: Parameters<Launcher["launch"]>): void {
    this.#check();
    this.#launches++;
    const [shader, constants] = call;
    if (this.#rehearsed) {
      this.#queue.flush();
      this.#rehearsed.push(this.#launcher.prepare(shader, constants));
    } else this.#launcher.launch(...call);
  }

  /** Holds a launch back until anything else is enqueued; `withheld` and `take` are for what comes next (see `Queue`). */
  withhold(what: object, launch: () => void): void {
    this.#check();
    this.#queue.withhold(what, launch);
  }

  get withheld(): object | undefined {
    return this.#queue.withheld;
  }

  take(): void {
    this.#queue.take();
  }

  /** Copies bytes of the host to where they belong, in the order of what is enqueued. */
  #put(to: Span, view: ArrayBufferView): void {
    this.#check();
    const { buffer, at } = placeOf(to);
    if (view.byteLength === 0 || this.#rehearsed) return;
    if (this.#queue.waiting && view.byteLength <= SMALL) {
      this.#queue.reserve(view.byteLength);
      const from = this.#queue.stage(view);
      this.#queue.copy(this.#queue.ring, from, buffer, at, view.byteLength);
      return;
    }
    this.#queue.submit();
    this.#device.queue.writeBuffer(buffer, at, view.buffer, view.byteOffset, view.byteLength);
  }

  /** As many bytes from each place, one after the other. */
  async #fetch(places: readonly { buffer: GPUBuffer; at: number }[], bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    if (bytes * places.length === 0) return new Uint8Array();
    this.#reads++;
    this.#bytes += bytes * places.length;
    // MAP_READ, COPY_DST.
    const target = this.#device.createBuffer({ size: bytes * places.length, usage: 0x01 | 0x08 });
    places.forEach(({ buffer, at }, i) => void this.#queue.copy(buffer, at, target, i * bytes, bytes));
    this.#queue.submit();
    try {
      await target.mapAsync(1);
      return new Uint8Array(target.getMappedRange().slice(0));
    } catch (error) {
      throw (
        this.#failure ??
        new DeviceError(`webgpu: reading back failed (${(error as Error).message}); open the device again`)
      );
    } finally {
      target.destroy();
    }
  }

  /** After something was awaited: throws what the driver has reported, looks at guards, lets go of buffers. */
  async #settle(): Promise<void> {
    this.#check();
    const checks = this.#checks.splice(0);
    const guards = await this.#fetch(checks.flatMap(guardsOf), GUARD_BYTES);
    for (const { buffer } of checks) buffer.destroy();
    checkGuards(checks, guards);
    if (this.#buffers.excess && !this.#queue.waiting) {
      this.#launcher.forget();
      this.#buffers.trim();
    }
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
  }
}
