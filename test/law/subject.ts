import type { Cache } from "../../src/attention/cache.ts";
import { formNames, paramsOf, type Sizes, shapeOf, type Variant } from "../../src/attention/define.ts";
import { type Attention, runAttention } from "../../src/attention/layer.ts";
import { Unfolded } from "../../src/attention/unfold.ts";
import { positionsOf, rotation } from "../../src/ops/rope/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { type Device, sizeOf, Tensor } from "../../src/tensor/tensor.ts";
import { fanIn } from "../../src/train/initial.ts";
import { type Case, tokensOf } from "./geometry.ts";

/** Numbers of a shape, rounded to float32 so that every device starts from the same ones. */
export interface Operand {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/** `name` filled with N(mean, deviation). */
export function operand(name: string, shape: readonly number[], random: Random, deviation = 1, mean = 0): Operand {
  return { name, shape, values: random.normals(sizeOf(shape), deviation).map((x) => Math.fround(x + mean)) };
}

/** An operand on `device`, behind a few numbers that are none of its own: in models most of what an op is given shares a block. */
export const onto = (device: Device, operand: Operand): Tensor => {
  const [t] = ontoOne(device, [operand]);
  return t!;
};

/** Operands on `device`, all in one block, each of which begins at whole fours of numbers or elsewhere, as its own numbers say. */
export function ontoOne(device: Device, operands: readonly Operand[]): Tensor[] {
  let end = 0;
  const starts = operands.map(({ values }) => {
    const place = new Random(Math.abs(values[0] ?? 0) * 2 ** 20).integer(6);
    const start = 4 * Math.ceil(end / 4) + [4, 8, 4, 5, 6, 7][place]!;
    end = start + values.length;
    return start;
  });
  const numbers = new Float64Array(end).fill(Number.NaN);
  operands.forEach(({ values }, i) => void numbers.set(values, starts[i]));
  const block = new Tensor(device, [end]).write(numbers);
  return operands.map(({ shape }, i) => new Tensor(device, shape, block, starts[i]));
}

/** A case's attention, and its numbers as a model would have them: matrices by fan-in, gains near 1. */
export interface Subject {
  readonly attention: Attention;
  readonly parameters: readonly Operand[];
  /** Hidden states `[batch t, d]`. */
  readonly x: Operand;
}

/** The attention that a case describes, with `batch` sequences. */
export function subjectOf(variant: Variant, drawn: Case, batch = drawn.batch): Subject {
  const { sizes, layout, base, window } = drawn;
  const random = new Random(drawn.seed);
  const parameters = paramsOf(variant, sizes).map(([name, axes]) => {
    const shape = shapeOf(axes, sizes);
    if (name.startsWith("g")) return operand(name, shape, random, 0.3, 1);
    if (name.startsWith("b") || name.startsWith("a")) return operand(name, shape, random, 0.5);
    return operand(name, shape, random, fanIn(axes, shape) ** -0.5);
  });
  return {
    attention: { variant, sizes, rotation: rotation(sizes.r, base, layout), ...(window ? { window } : {}) },
    parameters,
    x: operand("x", [batch * tokensOf(drawn), sizes.d], random),
  };
}

/** The parameters as the variant takes them. */
export function partsOf(parameters: readonly Operand[], tensors: readonly Tensor[]): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(parameters.map(({ name }, i) => [name, tensors[i]!]));
}

/** Form number `i` of those that a variant has at these sizes, counted around. */
export function formName(variant: Variant, z: Sizes, i: number): string {
  const names = formNames(variant, z);
  return names[i % names.length]!;
}

/** A function of tensors, with the numbers it is to be tried on: what the laws about devices and gradients are about. */
export interface Program {
  readonly inputs: readonly Operand[];
  run(inputs: readonly Tensor[]): Tensor;
  /** For the bound on rounding: the factor on attention scores, and how many roundings a result that no tape saw has had. */
  readonly scale?: number;
  readonly steps?: number;
  /** Whether it changes its inputs in place: then each has a block of its own. */
  readonly changes?: boolean;
}

/** A whole layer in one form, as a function of its parameters and of x. */
export function layerProgram(variant: Variant, drawn: Case, form: string): Program {
  const { attention, parameters, x } = subjectOf(variant, drawn);
  const positions = positionsOf(0, tokensOf(drawn), drawn.batch);
  return {
    inputs: [...parameters, x],
    scale: variant.scale(drawn.sizes),
    run: (tensors) =>
      runAttention(attention, partsOf(parameters, tensors), tensors.at(-1)!, { positions, form, batch: drawn.batch }),
  };
}

/**
 * Feeds one sequence, from where a cache stands, through it chunk by chunk, each in its own form and, where that unfolds, in pieces
 * of a few tokens or, by turns, keeping what was unfolded before; the outputs one after the other.
 */
export async function inChunks(
  subject: Subject,
  drawn: Case,
  cache: Cache,
  p: Readonly<Record<string, Tensor>>,
  x: Tensor,
): Promise<number[]> {
  const outputs: number[] = [];
  const { variant } = subject.attention;
  const kept = drawn.seed % 2 && variant.unfold ? new Unfolded(x.device, subject.attention, x.shape[0]!) : undefined;
  let from = cache.length;
  for (const { tokens, form } of drawn.chunks) {
    const y = runAttention(subject.attention, p, x.rows(from, from + tokens), {
      positions: positionsOf(from, tokens),
      form: formName(variant, drawn.sizes, form),
      cache,
      piece: 1 + (drawn.seed % 5),
      unfolded: kept,
    });
    outputs.push(...(await y.read()));
    from += tokens;
  }
  return outputs;
}
