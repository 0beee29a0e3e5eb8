import type { Parts } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { gradients } from "../grad/tape.ts";
import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { multiply as multiplyNumbers } from "../ops/multiply/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { scope, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { multiply, multiplyTransposed } from "./double.ts";
import { fillMatrix, type Matrix, matrix } from "./matrix.ts";

/**
 * Runs a model over sequences of ids and shows what goes into each layer's attention: the normed hidden states `[tokens, d]`, which
 * are freed afterwards. One sequence at a time.
 */
export async function watchInputs(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  see: (layer: number, x: Tensor) => Promise<void>,
  watch?: (sequences: number) => void,
): Promise<void> {
  const { device } = weights.get("norm")!;
  for (const [done, ids] of sequences.entries()) {
    const waiting: Promise<void>[] = [];
    scope(device, () => {
      let layer = 0;
      const watched = (hidden: Tensor) => {
        const i = layer++;
        if (i >= model.layers.length) return;
        waiting.push(see(i, rmsNorm(hidden, weights.get(`layers.${i}.normAttention`)!, model.eps)));
      };
      return forward(model, weights, ids, { positions: positionsOf(0, ids.length), rows: [[0, 1]], watch: watched });
    }).free();
    await Promise.all(waiting);
    watch?.(done + 1);
  }
}

/**
 * Each layer's second moment over all tokens, `[d + 1, d + 1]`: sums of products of any two numbers of the normed hidden state, the
 * last of them a 1 for biases. Of y = W x it follows without another look at the text: W M Wᵀ.
 */
export async function momentsOf(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  watch?: (sequences: number) => void,
): Promise<Matrix[]> {
  const moments = model.layers.map(() => matrix(model.width + 1, model.width + 1));
  await watchInputs(model, weights, sequences, (layer, x) => addMoment(moments[layer]!, x), watch);
  return moments;
}

/** What text says of a layer's inputs: second moments as in `momentsOf`, of all tokens alike, and as often as they are read. */
export interface Inputs {
  readonly all: Matrix;
  /**
   * Each token counts by the weight that all queries of all heads give it, in the mean of heads. What is wrong about a key or a value
   * is wrong as often as somebody looks at it, and some tokens, the first above all, get most of what is given.
   */
  readonly read: Matrix;
}

/** Both moments of every layer's inputs. */
export async function inputsOf(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  watch?: (sequences: number) => void,
): Promise<Inputs[]> {
  const empty = () => matrix(model.width + 1, model.width + 1);
  const inputs = model.layers.map(() => ({ all: empty(), read: empty() }));
  await watchInputs(
    model,
    weights,
    sequences,
    async (layer, x) => {
      const { all, read } = inputs[layer]!;
      const received = weightsReceived(model.layers[layer]!.attention, attentionParts(weights, layer), x);
      await Promise.all([addMoment(all, x), addMoment(read, x, received)]);
    },
    watch,
  );
  return inputs;
}

/** A layer's attention parameters by their own names. */
function attentionParts(weights: Weights, layer: number): Parts {
  const prefix = `layers.${layer}.attention.`;
  const own = [...weights].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, t]) => [name.slice(prefix.length), t]));
}

/** Adds the products of all numbers of inputs `[tokens, d]` and a 1, each token counted by its weight `[tokens, 1]`, 1 unless given. */
async function addMoment({ values: into }: Matrix, x: Tensor, weight?: Tensor): Promise<void> {
  const [tokens = 0, d = 0] = x.shape;
  const weighed = weight ? multiplyNumbers(x, weight.reshape([tokens])) : x;
  // All are asked for at once: what is enqueued is read after the scope is over.
  const [products, rows, by] = await Promise.all([
    einsum("t i, t j -> i j", weighed, x).read(),
    weighed.read(),
    weight?.read(),
  ]);
  const width = d + 1;
  for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) into[i * width + j]! += products[i * d + j]!;
  for (let t = 0; t < tokens; t++) {
    for (let j = 0; j < d; j++) {
      into[j * width + d]! += rows[t * d + j]!;
      into[d * width + j]! += rows[t * d + j]!;
    }
    into[d * width + d]! += by ? by[t]! : 1;
  }
}

/**
 * The weight that each token gets from all queries, in the mean of heads: a value of one number that all heads share has it as
 * its gradient, where all outputs are added up. `[tokens, 1]`.
 */
export function weightsReceived({ variant, sizes, rotation, scale }: Attention, p: Parts, x: Tensor): Tensor {
  const { device } = x;
  const tokens = x.shape[0]!;
  return scope(device, () => {
    const at = { positions: positionsOf(0, tokens), rotation, batch: 1 };
    const { q, k } = variant.project(p, x, at, sizes, undefined) as Parts;
    const ones = (...shape: number[]) => tensor(device, shape, new Float64Array(sizeOf(shape)).fill(1));
    const value = ones(tokens, 1);
    const heads = tensor(device, [tokens, sizes.h, 1, 1], new Float64Array(tokens * sizes.h).fill(1 / sizes.h));
    const view = { scale: scale ?? variant.scale(sizes) };
    const found = gradients([value], () => einsum("t h v, t h v o -> o", attend(value, view, [q!, k!]), heads));
    found.value.free();
    return found.gradients[0]!;
  });
}

/** Rows `[tokens, d]` in float64 with a 1 at the end of each. */
export async function readInputs(x: Tensor): Promise<Matrix> {
  const [tokens = 0, d = 0] = x.shape;
  const values = await x.read();
  return fillMatrix(tokens, d + 1, (i, j) => (j < d ? values[i * d + j]! : 1));
}

/** W M Wᵀ: the second moment of what rows with a bias give. */
export function momentOf(rows: Matrix, moment: Matrix): Matrix {
  return multiplyTransposed(multiply(rows, moment), rows);
}
