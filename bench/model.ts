/**
 * The training case every engine runs: sizes, parameter layout, seeded weights and one fixed batch of tokens.
 * `node bench/model.ts DIR` writes it, to run one peer by hand.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../src/tensor/random.ts";

/** Sizes of the model and of its optimiser, as every engine reads them from `layout.json`; BENCH_SIZES='{"batch":1}' changes some. */
export const sizes = {
  width: 256,
  layers: 4,
  heads: 4,
  headDim: 64,
  tokens: 256,
  batch: 8,
  vocabulary: 2048,
  intermediate: 688,
  normEpsilon: 1e-6,
  ropeBase: 10000,
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  ...(JSON.parse(process.env.BENCH_SIZES ?? "{}") as Record<never, number>),
};

/** One parameter: its name, its shape (matrices are input x output) and where it starts, in elements. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
}

/** The parameters in file order: `embedding`, per layer `N.norm1 N.wQ ... N.down`, `norm`, `head`. */
export function parameters(): Parameter[] {
  const { width: d, vocabulary, intermediate, layers, heads, headDim } = sizes;
  const list: Parameter[] = [];
  let offset = 0;
  const add = (name: string, ...shape: number[]) => {
    list.push({ name, shape, offset });
    offset += shape.reduce((a, b) => a * b, 1);
  };
  add("embedding", vocabulary, d);
  for (let layer = 0; layer < layers; layer++) {
    add(`${layer}.norm1`, d);
    for (const name of ["wQ", "wK", "wV"]) add(`${layer}.${name}`, d, heads * headDim);
    add(`${layer}.wO`, heads * headDim, d);
    add(`${layer}.norm2`, d);
    add(`${layer}.gate`, d, intermediate);
    add(`${layer}.up`, d, intermediate);
    add(`${layer}.down`, intermediate, d);
  }
  add("norm", d);
  add("head", d, vocabulary);
  return list;
}

/** All weights in file order: gains 1, everything else normal with deviation 0.02, from `seed`. */
export function weights(seed = 1): Float32Array {
  const random = new Random(seed);
  const list = parameters();
  const last = list.at(-1)!;
  const numbers = new Float32Array(last.offset + elements(last));
  for (const p of list) {
    const part = numbers.subarray(p.offset, p.offset + elements(p));
    if (p.shape.length === 1) part.fill(1);
    else for (let i = 0; i < part.length; i++) part[i] = random.normal() * 0.02;
  }
  return numbers;
}

/** `batch` rows of `tokens + 1` uniform token ids: the first `tokens` are read, the last `tokens` predicted. */
export function batch(seed = 2): Int32Array {
  const random = new Random(seed);
  return Int32Array.from({ length: sizes.batch * (sizes.tokens + 1) }, () => random.integer(sizes.vocabulary));
}

/** Number of elements of a parameter. */
export function elements(p: Parameter): number {
  return p.shape.reduce((a, b) => a * b, 1);
}

/** Writes `layout.json`, `weights.f32` and `tokens.i32` into `folder`. */
export function writeModel(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "layout.json"), JSON.stringify({ sizes, parameters: parameters() }));
  writeFileSync(join(folder, "weights.f32"), weights());
  writeFileSync(join(folder, "tokens.i32"), batch());
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (!folder) throw new Error("bench/model: got no folder, expected one; run `node bench/model.ts DIR`");
  writeModel(folder);
}
