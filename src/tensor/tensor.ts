import type { Block, Device, Numbers } from "./device.ts";
import { DeviceError, ShapeError } from "./error.ts";
import type { Packing } from "./packing.ts";
import type { Paging } from "./page.ts";

export type { Block, Device, Numbers } from "./device.ts";

/** What records operations for the reverse pass; `grad/tape.ts` implements it. */
export interface Recorder {
  record(node: TapeNode): void;
}

/** One recorded operation. */
export interface TapeNode {
  readonly name: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly output: Tensor;
  /** Tensors made for the reverse pass alone. */
  readonly saved: readonly Tensor[];
  /**
   * Gradients of the inputs, given that of the output. `wanted[i]` says which are needed; `into[i]`, where present, holds
   * what has been summed so far and may be added to in place (return that same tensor then).
   */
  readonly backward: (
    g: Tensor,
    wanted: readonly boolean[],
    into: readonly (Tensor | undefined)[],
  ) => (Tensor | undefined)[];
}

/** A dense row-major array of numbers on a device, or a weight that lies packed. Axis 0 usually counts tokens. */
export class Tensor {
  readonly device: Device;
  readonly shape: readonly number[];
  /** First element, counted in elements from the start of the block; in those of the device where packed. */
  readonly start: number;
  /** Set where the numbers lie as in a file: only ops that ask for it can read them. */
  readonly packing: Packing | undefined;
  #block: Block | undefined;
  readonly #base: Tensor | undefined;
  /** Set where the rows lie on a cache's pages: what does not know pages then finds no memory, and cannot misread it. */
  readonly paging: Paging | undefined;
  /** Set while a tape records this tensor's history. */
  recorder: Recorder | undefined;

  constructor(device: Device, shape: readonly number[], base?: Tensor, start = 0, paging?: Paging, packing?: Packing) {
    this.device = device;
    this.shape = shape;
    this.#base = base;
    this.start = start;
    this.paging = paging;
    this.packing = packing;
    if (base) {
      this.recorder = base.recorder;
    } else if (!paging) {
      this.#block = device.allocate(packing ? packedElements(device, shape, packing) : sizeOf(shape));
      device.owner?.add(this);
    }
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  get block(): Block {
    if (this.paging) throw new DeviceError(`internal: rows of [${this.shape}] lie on pages; take contiguous() first`);
    const block = this.#base ? this.#base.block : this.#block;
    if (!block) throw new DeviceError(`internal: tensor [${this.shape}] used after it was freed`);
    return block;
  }

  get freed(): boolean {
    return this.#base ? this.#base.freed : this.#block === undefined && !this.paging;
  }

  /** The tensor whose memory a view shows; itself where it is no view. */
  get origin(): Tensor {
    return this.#base ? this.#base.origin : this;
  }

  /** The same numbers under another shape of equal size: no copy. Not recorded: use `ops/reshape` where gradients flow. */
  reshape(shape: readonly number[]): Tensor {
    if (sizeOf(shape) !== this.size) throw new ShapeError(`reshape: got [${shape}], expected ${this.size} elements`);
    this.#plain();
    return new Tensor(this.device, shape, this.origin, this.start);
  }

  /** Rows [from, to) of axis 0: no copy. Of a packed tensor, whole panels at most: its outermost axis of several. */
  rows(from: number, to: number): Tensor {
    const [n = 0, ...rest] = this.shape;
    if (from < 0 || to < from || to > n) throw new ShapeError(`rows: got ${from}..${to}, expected within 0..${n}`);
    if (this.packing) {
      const { rows: axes } = this.packing;
      if (axes[0] !== 0 || axes.length < 2)
        throw new ShapeError(`rows: got a packed [${this.shape}], expected one whose first axis has rows within`);
      const each = packedElements(this.device, [1, ...rest], this.packing);
      return new Tensor(
        this.device,
        [to - from, ...rest],
        this.origin,
        this.start + from * each,
        undefined,
        this.packing,
      );
    }
    return new Tensor(this.device, [to - from, ...rest], this.origin, this.start + from * sizeOf(rest));
  }

  /** Gives the memory back. Freeing twice is harmless; freeing a view does nothing. */
  free(): void {
    if (!this.#block) return;
    this.device.release(this.#block);
    this.device.owner?.delete(this);
    this.#block = undefined;
  }

  #plain(): void {
    if (this.packing) throw new DeviceError(`internal: [${this.shape}] is packed as ${this.packing.format}`);
  }

  write(values: ArrayLike<number>): this {
    if (values.length !== this.size)
      throw new ShapeError(`write: got ${values.length} numbers, expected ${this.size} for [${this.shape}]`);
    this.device.write(this, values);
    return this;
  }

  /** Copies the numbers to the host once all that was enqueued before is done. */
  async read(): Promise<Numbers> {
    this.#plain();
    const { buffer } = await this.device.download(this);
    return this.device.elementBytes === 8 ? new Float64Array(buffer) : new Float32Array(buffer);
  }
}

/** A tensor whose contents, still undefined, lie packed; `pack` (src/ops/pack) fills it. Throws DeviceError on a device that packs none. */
export function packedTensor(device: Device, shape: readonly number[], packing: Packing): Tensor {
  return new Tensor(device, shape, undefined, 0, undefined, packing);
}

/** Elements of a device's memory that a packed tensor takes. */
function packedElements(device: Device, shape: readonly number[], packing: Packing): number {
  if (!device.packedBytes)
    throw new DeviceError(`internal: packed weights on a ${device.kind} device, which keeps them plain`);
  return device.packedBytes(shape, packing) / device.elementBytes;
}

/** Product of the sizes; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  let product = 1;
  for (let i = 0; i < shape.length; i++) product *= shape[i]!;
  return product;
}

/** Whether two shapes are the same. */
export function isShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * A tensor on `device` holding `values` in row-major order, rounded to its precision. Throws ShapeError where their number is not
 * the shape's, DeviceError where there is no room.
 */
export function tensor(device: Device, shape: readonly number[], values: ArrayLike<number>): Tensor {
  return new Tensor(device, shape).write(values);
}

/**
 * Owns tensors of a device over several synchronous parts, with awaits in between: what is made in `run` belongs to it until `end`.
 * Scopes on one device may take turns.
 */
export class Scope {
  readonly #device: Device;
  readonly #own = new Set<Tensor>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Runs a part; every tensor made inside belongs to this scope. Throws DeviceError for an asynchronous one. */
  run<T>(body: () => T): T {
    const device = this.#device;
    const outer = device.owner;
    device.owner = this.#own;
    try {
      const result = body();
      if (result instanceof Promise)
        throw new DeviceError(
          "internal: scope: got an asynchronous body, expected parts of a Scope between its awaits",
        );
      return result;
    } finally {
      device.owner = outer;
    }
  }

  /** Frees its tensors, but for those in `result`, which then belong to the scope that is open now, if any. */
  end(result?: unknown): void {
    const kept = new Set<Tensor>();
    collect(result, kept);
    for (const t of this.#own) {
      if (!kept.has(t)) t.free();
      else this.#device.owner?.add(t);
    }
    this.#own.clear();
  }
}

/**
 * Runs `body`; every tensor made inside is freed at the end, except those in its result (a tensor, or an array or record of
 * them). Throws DeviceError for an asynchronous body: that is several parts of a `Scope`. Of several devices: on all of them.
 */
export function scope<T>(on: Device | readonly Device[], body: () => T): T {
  const [device, ...others] = Array.isArray(on) ? (on as readonly Device[]) : [on as Device];
  if (!device) return body();
  if (others.length) return scope(device, () => scope(others, body));
  const own = new Scope(device);
  let result: T | undefined;
  try {
    result = own.run(body);
    return result;
  } finally {
    own.end(result);
  }
}

/** Runs `body` outside every scope: what it makes is the caller's to free. */
export function unscoped<T>(device: Device, body: () => T): T {
  const { owner } = device;
  device.owner = undefined;
  try {
    return body();
  } finally {
    device.owner = owner;
  }
}

function collect(value: unknown, into: Set<Tensor>): void {
  if (value instanceof Tensor) into.add(value.origin);
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) collect(item, into);
  else if (value instanceof Map) for (const item of value.values()) collect(item, into);
  else if (value && Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, into);
}
