/** Bytes of numbers and small arrays that travel with one submission. */
const RING = 1 << 20;
/** Launches of one submission at most, so that a GPU does not wait while a long step is enqueued. */
const MOST = 1024;

/**
 * Commands in their order, submitted together: launches, copies, and small pieces of the host's memory that they read, which
 * all lie in one buffer, the ring, filled by one write.
 */
export class Queue {
  /** Where numbers and small arrays of the host lie until the next submission. */
  readonly ring: GPUBuffer;
  /** Submissions so far. */
  submissions = 0;
  readonly #device: GPUDevice;
  readonly #align: number;
  readonly #bytes = new Uint8Array(RING);
  #used = 0;
  #count = 0;
  #withheld: { readonly what: object; readonly launch: () => void } | undefined;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;

  constructor(device: GPUDevice, align: number) {
    this.#device = device;
    this.#align = Math.max(align, 16);
    // STORAGE, UNIFORM, COPY_SRC, COPY_DST.
    this.ring = device.createBuffer({ size: RING, usage: 0x80 | 0x40 | 0x04 | 0x08 });
  }

  /** Whether anything waits to be submitted. */
  get waiting(): boolean {
    return this.#encoder !== undefined || this.#withheld !== undefined;
  }

  /** Holds a launch back until anything else is enqueued, which may take along what it stands for (`take`). */
  withhold(what: object, launch: () => void): void {
    this.flush();
    this.#withheld = { what, launch };
  }

  /** What a launch that is held back stands for. */
  get withheld(): object | undefined {
    return this.#withheld?.what;
  }

  /** Forgets the launch that is held back: whoever calls this has taken its work along. */
  take(): void {
    this.#withheld = undefined;
  }

  /** Enqueues what is held back. */
  flush(): void {
    const held = this.#withheld;
    this.#withheld = undefined;
    held?.launch();
  }

  /** Bytes that `stage` takes of the ring for each of these pieces. */
  #room(sizes: readonly number[]): number {
    return sizes.reduce((sum, n) => sum + Math.ceil(n / this.#align) * this.#align, 0);
  }

  /** Whether pieces of these sizes fit into a ring at all. */
  fits(...sizes: readonly number[]): boolean {
    return this.#room(sizes) <= RING / 2;
  }

  /** Sees to it that pieces of these sizes fit together, and a launch: submits what waits where they do not. */
  reserve(...sizes: readonly number[]): void {
    if (this.#used + this.#room(sizes) > RING || this.#count >= MOST) this.submit();
  }

  /** Puts bytes on the ring, of at least `span` bytes' room. @returns their offset, valid until the next submission. */
  stage(view: ArrayBufferView, span: number = view.byteLength): number {
    const at = this.#used;
    this.#bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), at);
    this.#used += this.#room([Math.max(span, view.byteLength)]);
    return at;
  }

  launch(
    pipeline: GPUComputePipeline,
    buffers: GPUBindGroup,
    numbers: GPUBindGroup,
    at: number,
    groups: readonly number[],
  ) {
    this.#pass ??= this.#commands.beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, buffers);
    this.#pass.setBindGroup(1, numbers, [at]);
    this.#pass.dispatchWorkgroups(groups[0]!, groups[1], groups[2]);
    this.#count++;
  }

  copy(from: GPUBuffer, fromAt: number, to: GPUBuffer, toAt: number, bytes: number): void {
    this.flush();
    this.#end();
    this.#commands.copyBufferToBuffer(from, fromAt, to, toAt, bytes);
  }

  submit(): void {
    this.flush();
    this.#end();
    if (!this.#encoder) return;
    const { queue } = this.#device;
    if (this.#used) queue.writeBuffer(this.ring, 0, this.#bytes, 0, Math.ceil(this.#used / 4) * 4);
    queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    [this.#used, this.#count] = [0, 0];
    this.submissions++;
  }

  get #commands(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder();
    return this.#encoder;
  }

  #end(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}
