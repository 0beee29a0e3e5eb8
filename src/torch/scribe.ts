import type { Block, Device, Kernel, Operation, Span } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Words } from "./letters.ts";
import { lines } from "./lines.ts";
import { reshaped } from "./reshape.ts";
import type { Cell, Value } from "./value.ts";

/** Assigns an entry of the state once what stands before it is done. */
export interface Keep {
  readonly entry: string;
  readonly value: Value;
}

/**
 * A device whose memory holds Python and whose kernels write it: a definition that runs on it is written down, operation by operation,
 * and nothing is computed. What it has no words for is a DeviceError, as an operation without a kernel is on any device.
 */
export class Scribe implements Device {
  readonly kind = "torch";
  readonly elementBytes = 8;
  readonly threads = 1;
  readonly capacity = Number.POSITIVE_INFINITY;
  readonly freeBytes = Number.POSITIVE_INFINITY;
  readonly liveBytes = 0;
  readonly peakBytes = 0;
  readonly kernel = kernelOf;
  readonly words: Words;
  owner: Set<Tensor> | undefined;
  /** What was written since the last page began, in order. */
  page: (Value | Keep)[] = [];

  constructor(words: Words) {
    this.words = words;
  }

  /** A tensor that stands for a word. */
  name(value: Value): Tensor {
    const tensor = new Tensor(this, value.shape);
    (tensor.block as Cell).value = value;
    return tensor;
  }

  /** What a tensor holds; a view of other axes is written as one. */
  read(x: Tensor): Value {
    const value = (x.block as Cell).value;
    if (!value) throw new DeviceError(`internal: [${x.shape}] was read before anything was written there`);
    if (`${value.shape}` === `${x.shape}`) return value;
    if (x.start !== 0 || x.size !== value.shape.reduce((a, b) => a * b, 1))
      throw new DeviceError(
        `torch: got rows of [${value.shape}], which have no words in Python; write the form without`,
      );
    return this.put(reshaped(value, x.shape, this.words));
  }

  /** Puts what a kernel gave into memory, and on the page. */
  put(value: Value, out?: Tensor): Value {
    if (!this.page.includes(value)) this.page.push(value);
    if (out) (out.block as Cell).value = value;
    return value;
  }

  allocate(elements: number): Cell {
    return { elements };
  }

  write(to: Span, values: ArrayLike<number>): void {
    const { shape } = to as Tensor;
    const numbers = Float64Array.from(values);
    const constant = { shape, axes: [], tokens: false, args: [], kind: "wrap", numbers, hint: "places" } as const;
    (to.block as Cell).value = { ...constant, write: () => constantText(numbers, shape, this.words) };
  }

  /** The last row of what a kernel gave becomes an entry of the state; any other copy has no words. */
  copy(from: Span, to: Span): void {
    const value = (from.block as Cell).value;
    const entry = (to.block as Cell).value;
    const row = value?.shape.slice(1).reduce((a, b) => a * b, 1);
    if (!value?.tokens || entry?.kind !== "name" || from.size !== row || from.start !== row * (value.shape[0]! - 1))
      throw new DeviceError(
        "torch: got a copy of rows, which has no words in Python; keep a sequence's last row alone",
      );
    const last: Value = { ...value, args: [value], write: ([x]) => `${x}[:, -1]`, kind: "wrap", tokens: false };
    this.page.push({ entry: entry.write([]), value: last });
  }

  release(_block: Block): void {}

  upload(): void {
    throw new DeviceError("internal: a device that writes Python was given bytes");
  }

  download(): Promise<never> {
    throw new DeviceError("internal: a device that writes Python was asked for numbers");
  }

  async fence(): Promise<void> {}

  resetPeak(): void {}

  close(): void {}
}

function kernelOf({ name }: Operation): Kernel | undefined {
  return lines[name as keyof typeof lines] as Kernel | undefined;
}

/** Numbers of the host that have words: the places of groups in a row, and what takes a mean away. */
function constantText(numbers: Float64Array, shape: readonly number[], words: Words): string {
  const [g = 0, width = 0, all = 0] = shape;
  if (shape.length === 3) {
    const start = numbers.indexOf(1);
    const placed = (x: number, i: number) => x === (i % all === start + Math.floor(i / all) ? 1 : 0);
    if (numbers.every(placed))
      return `placement(${[g, width, start, all].map((n) => words.whole(n)).join(", ")}, like)`;
  }
  if (shape.length === 2 && g === width) {
    const centred = (x: number, i: number) => Math.abs(x - ((i % (g + 1) === 0 ? 1 : 0) - 1 / g)) < 1e-12;
    if (numbers.every(centred)) return `centring(${words.whole(g)}, like)`;
  }
  throw new DeviceError(
    `torch: got constants of [${shape}], which have no words in Python; add them to src/torch/scribe.ts`,
  );
}
