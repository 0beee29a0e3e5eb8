import type { Span } from "../../tensor/device.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Traits } from "./adapter.ts";
import { packedGeometry } from "./geometry.ts";
import type { Buffers, Stretch } from "./memory.ts";
import { Pipelines } from "./pipelines.ts";
import type { Queue } from "./queue.ts";
import { type Constants, type Shader, WORDS } from "./shader.ts";

/** What a kernel may be given as a buffer: numbers on the device, or a small array of the host as it is at the launch. */
export type Operand = Tensor | Span | Int32Array | Float32Array;

/** Bind groups that are kept. */
const KEPT = 4096;

/** Enqueues shaders: compiles them, binds their buffers, and sends their numbers along. */
export class Launcher {
  readonly #device: GPUDevice;
  readonly #queue: Queue;
  readonly #buffers: Buffers;
  readonly #pipelines: Pipelines;
  /** Bytes of a binding at most. */
  readonly #binding: number;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #numberOf = new WeakMap<GPUBuffer, number>();
  #known = 0;
  readonly #numbers: GPUBindGroup;
  readonly #nothing: GPUBuffer;
  /** What stands for an absent operand that a shader could write, by its place. */
  readonly #unwritten: GPUBuffer[] = [];
  readonly #words = new Uint32Array(WORDS);
  readonly #floats = new Float32Array(this.#words.buffer);

  constructor(
    device: GPUDevice,
    queue: Queue,
    buffers: Buffers,
    { f16, products, subgroup, matrix, binding }: Traits,
    fail: (error: DeviceError) => void,
  ) {
    this.#device = device;
    this.#queue = queue;
    this.#buffers = buffers;
    this.#binding = binding;
    const dialect = { f16, half: products === "f16", subgroup: subgroup?.least ?? 0, matrix: matrix !== undefined };
    this.#pipelines = new Pipelines(device, dialect, fail);
    this.#nothing = buffers.take(16);
    this.#numbers = device.createBindGroup({
      layout: this.#pipelines.numbers,
      entries: [{ binding: 0, resource: { buffer: queue.ring, size: 4 * WORDS } }],
    });
  }

  /**
   * Enqueues a shader over `groups` workgroups. `operands` are its buffers by name (an absent one is bound to a few zeros), and
   * `numbers` the others that it declares. What it writes must share no buffer with what it reads, but for an operand that it
   * updates: one read elsewhere in the same buffer is copied first.
   */
  launch(
    shader: Shader,
    constants: Constants,
    operands: Readonly<Record<string, Operand | undefined>>,
    numbers: Readonly<Record<string, number>>,
    groups: readonly number[],
  ): void {
    if (groups.some((n) => n === 0)) return;
    this.#queue.flush();
    const program = this.#pipelines.programOf(shader, constants);
    const names = [...Object.keys(shader.reads), ...Object.keys(shader.writes)];
    const written = Object.keys(shader.writes).map((name) => bufferOf(operands[name]));
    const staged = names.map((name) => operands[name]).filter((o) => ArrayBuffer.isView(o));
    this.#queue.reserve(4 * WORDS, ...staged.map(({ byteLength }) => byteLength));
    let key = `${program.number}`;
    const bound: { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number }[] = [];
    const taken: GPUBuffer[] = [];
    names.forEach((name, i) => {
      let { buffer, at, size } = this.#bind(operands[name], name in shader.writes ? i : undefined);
      if (name in shader.reads && written.includes(buffer)) {
        const copy = this.#buffers.take(size);
        taken.push(copy);
        this.#queue.copy(buffer, at, copy, 0, size);
        [buffer, at] = [copy, 0];
      }
      // A binding may begin at certain offsets only; what is left goes along as a number.
      const limit = this.#binding;
      const offset = buffer.size <= limit ? 0 : at - (at % 256);
      if (at - offset + size > limit)
        throw new DeviceError(
          `${shader.name}: got a binding of ${size} bytes, expected at most the adapter's ${limit}; use a smaller model or batch`,
        );
      bound.push({ buffer, offset, size: Math.min(buffer.size - offset, limit) });
      key += ` ${this.#nameOf(buffer)}:${offset}`;
      this.#words[i] = (at - offset) / 4;
    });
    let word = names.length;
    for (const [name, type] of Object.entries(shader.numbers)) {
      const value = numbers[name];
      if (value === undefined) throw new DeviceError(`internal: ${shader.name}: got no ${name}`);
      if (type === "f32") this.#floats[word++] = value;
      else this.#words[word++] = value;
    }
    let group = this.#groups.get(key);
    if (!group) {
      if (this.#groups.size >= KEPT) this.#groups.clear();
      group = this.#device.createBindGroup({
        layout: program.layout,
        entries: bound.map((resource, binding) => ({ binding, resource })),
      });
      this.#groups.set(key, group);
    }
    const at = this.#queue.stage(this.#words.subarray(0, word), 4 * WORDS);
    this.#queue.launch(program.pipeline, group, this.#numbers, at, groups);
    for (const buffer of taken) this.#buffers.give(buffer);
  }

  /** Shaders that launches had to wait for, so far. */
  get waited(): number {
    return this.#pipelines.waited;
  }

  /** Compiles a shader for launches to come (see `Pipelines.prepare`). */
  prepare(shader: Shader, constants: Constants): Promise<void> {
    return this.#pipelines.prepare(shader, constants);
  }

  /** Lets go of what refers to buffers that are about to end. */
  forget(): void {
    this.#groups.clear();
  }

  /** Where an operand lies; arrays of the host are put on the ring. */
  #bind(operand: Operand | undefined, written: number | undefined): { buffer: GPUBuffer; at: number; size: number } {
    // No buffer may be bound both to be written and otherwise, not even where nothing is written.
    if (!operand && written !== undefined) this.#unwritten[written] ??= this.#buffers.take(16);
    if (!operand) return { buffer: written === undefined ? this.#nothing : this.#unwritten[written]!, at: 0, size: 4 };
    if (ArrayBuffer.isView(operand)) {
      const at = this.#queue.stage(operand);
      return { buffer: this.#queue.ring, at, size: operand.byteLength };
    }
    return { ...placeOf(operand), size: sizeOf(operand) };
  }

  #nameOf(buffer: GPUBuffer): number {
    let number = this.#numberOf.get(buffer);
    if (number === undefined) {
      number = this.#known++;
      this.#numberOf.set(buffer, number);
    }
    return number;
  }
}

/** Where a tensor lies: it may be freed before a launch that waits. */
export const placed = ({ block, start, size }: Tensor): Span => ({ block, start, size });

/** The buffer of a part of a block, and the byte where it begins. */
export function placeOf({ block, start }: Tensor | Span): { readonly buffer: GPUBuffer; readonly at: number } {
  const { arena, offset } = block as Stretch;
  return { buffer: arena.buffer, at: offset + 4 * start };
}

function bufferOf(operand: Operand | undefined): GPUBuffer | undefined {
  return !operand || ArrayBuffer.isView(operand) ? undefined : placeOf(operand).buffer;
}

/** Bytes that a kernel may look at, packed weights included. */
function sizeOf(operand: Tensor | Span): number {
  const packed = operand instanceof Tensor && operand.packing;
  return packed ? packedGeometry(operand.shape, packed).bytes : 4 * operand.size;
}
