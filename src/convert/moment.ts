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
import { Random } from "../tensor/random.ts";
import { scope, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { multiplyTransposed } from "./double.ts";
import { fillMatrix, type Matrix, matrix, rowsOf } from "./matrix.ts";

/**
 * Runs a model over sequences of ids and shows what goes into each layer's attention: the normed hidden states `[tokens, d]`, and the
 * hidden states themselves, which are freed afterwards. One sequence at a time.
 */
export async function watchInputs(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  see: (layer: number, x: Tensor, hidden: Tensor) => Promise<void>,
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
        waiting.push(see(i, rmsNorm(hidden, weights.get(`layers.${i}.normAttention`)!, model.eps), hidden));
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
  /**
   * What an error of the layer's output counts for by its square: the mean over tokens of 1 / the squared length of the hidden state
   * that it is added to, since norms divide by that. 1 where there is no text.
   */
  readonly weight: number;
  /**
   * `[h]`: the mean over a head's queries of the sum of squared weights, 1 where each looks at one token alone. Errors of scores that
   * have nothing to do with each other add up by their squares: this is how much of them reaches the output. 1 where there is no text.
   */
  readonly sharpness: Float64Array;
}

/** Both moments of every layer's inputs. */
export async function inputsOf(
  model: Model,
  weights: Weights,
  sequences: readonly Int32Array[],
  watch?: (sequences: number) => void,
): Promise<Inputs[]> {
  const empty = () => matrix(model.width + 1, model.width + 1);
  const inputs = model.layers.map(({ attention }) => ({
    all: empty(),
    read: empty(),
    weight: 0,
    sharpness: new Float64Array(attention.sizes.h),
  }));
  const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
  await watchInputs(
    model,
    weights,
    sequences,
    async (layer, x, hidden) => {
      const own = inputs[layer]!;
      const { received, signed } = lookAt(model.layers[layer]!.attention, attentionParts(weights, layer), x);
      const adding = [addMoment(own.all, x), addMoment(own.read, x, received)];
      const [rows, sums] = await Promise.all([hidden.read(), signed.read(), ...adding]);
      own.weight += inverseSquares(rows!, model.width) / tokens;
      const h = own.sharpness.length;
      sums!.forEach((y, at) => {
        own.sharpness[Math.floor(at / SIGNS) % h]! += (y * y) / SIGNS / tokens;
      });
    },
    watch,
  );
  return inputs;
}

/** Sum over rows of 1 / their squared length. */
function inverseSquares(rows: ArrayLike<number>, width: number): number {
  let total = 0;
  for (let at = 0; at < rows.length; at += width) {
    let square = 0;
    for (let i = at; i < at + width; i++) square += rows[i]! ** 2;
    total += 1 / Math.max(square, Number.MIN_VALUE);
  }
  return total;
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

/** Values of random signs that tell squared weights: of w, the mean square of w's sums with them is the sum of squares of w. */
const SIGNS = 16;

/** What queries do with a layer's tokens. */
interface Looks {
  /** `[tokens, 1]`: the weight that each token gets from all queries, in the mean of heads. */
  readonly received: Tensor;
  /** `[tokens, h, SIGNS]`: sums of each query's weights with random signs. */
  readonly signed: Tensor;
}

/**
 * How a layer's queries look at its inputs. What a token gets is the gradient of a value of one number that all heads share, where all
 * outputs are added up.
 */
export function lookAt({ variant, sizes: z, rotation, scale }: Attention, p: Parts, x: Tensor): Looks {
  const { device } = x;
  const tokens = x.shape[0]!;
  return scope(device, () => {
    const at = { positions: positionsOf(0, tokens), rotation, batch: 1 };
    const { q, k } = variant.project(p, x, at, z, undefined) as Parts;
    const view = { scale: scale ?? variant.scale(z) };
    const filled = (shape: readonly number[], by: number) =>
      tensor(device, shape, new Float64Array(sizeOf(shape)).fill(by));
    const [value, heads] = [filled([tokens, 1], 1), filled([tokens, z.h, 1, 1], 1 / z.h)];
    const { gradients: found } = gradients([value], () =>
      einsum("t h v, t h v o -> o", attend(value, view, [q!, k!]), heads),
    );
    const random = new Random(tokens);
    const signs = tensor(device, [tokens, SIGNS], random.normals(tokens * SIGNS, 1).map(Math.sign));
    return { received: found[0]!, signed: attend(signs, view, [q!, k!]) };
  });
}

/** Rows `[tokens, d]` in float64 with a 1 at the end of each. */
export async function readInputs(x: Tensor): Promise<Matrix> {
  const [tokens = 0, d = 0] = x.shape;
  const values = await x.read();
  return fillMatrix(tokens, d + 1, (i, j) => (j < d ? values[i * d + j]! : 1));
}

/** W M Wᵀ: the second moment of what rows with a bias give, of a moment, which is symmetric. */
export function momentOf(rows: Matrix, moment: Matrix): Matrix {
  return multiplyTransposed(multiplyTransposed(rows, moment), rows);
}

/** The same of each head's rows, nothing between heads. */
export function momentsOfHeads(rows: Matrix, moment: Matrix, h: number): Matrix[] {
  const met = multiplyTransposed(rows, moment);
  const of = (all: Matrix, head: number) => rowsOf(all, (head * rows.rows) / h, ((head + 1) * rows.rows) / h);
  return Array.from({ length: h }, (_, head) => multiplyTransposed(of(met, head), of(rows, head)));
}
