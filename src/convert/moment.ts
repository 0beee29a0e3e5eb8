import type { Parts } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { gradients } from "../grad/tape.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { multiply as multiplyNumbers } from "../ops/multiply/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { Random } from "../tensor/random.ts";
import { scope, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { addTransposed, multiplyAround, multiplyHalf, multiplyTransposed } from "./double.ts";
import { fillMatrix, type Matrix, matrix, rowsOf } from "./matrix.ts";
import { type Stack, showInputs, walkLayers } from "./stack.ts";

/**
 * Each layer's second moment over all tokens, `[d + 1, d + 1]`, one layer after the other: sums of products of any two numbers of the
 * normed hidden state, the last of them a 1 for biases. Of y = W x it follows without another look at the text: W M Wᵀ. `become` as in
 * `walkLayers`.
 */
export async function* momentsOf(
  stack: Stack,
  sequences: readonly Int32Array[],
  become?: Parameters<typeof walkLayers>[2],
): AsyncGenerator<Matrix> {
  const width = stack.model.width + 1;
  for await (const step of walkLayers(stack, sequences, become)) {
    const moment = matrix(width, width);
    await showInputs(step, (x) => addMoment(moment, x));
    yield moment;
  }
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

/** What text says of every layer's inputs, one layer after the other; undefined of those that are not asked for, which have no grouped heads. */
export async function* inputsOf(
  stack: Stack,
  sequences: readonly Int32Array[],
  asked: (layer: number) => boolean = () => true,
): AsyncGenerator<Inputs | undefined> {
  const { width } = stack.model;
  const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
  for await (const step of walkLayers(stack, sequences)) {
    const { attention } = step.block.layer;
    if (!asked(step.layer)) {
      yield undefined;
      continue;
    }
    const { h } = attention.sizes;
    const [all, read] = [matrix(width + 1, width + 1), matrix(width + 1, width + 1)];
    const sharpness = new Float64Array(h);
    let weight = 0;
    await showInputs(step, async (x, hidden) => {
      const { received, signed } = lookAt(attention, step.block.attention, x);
      const adding = [addMoment(all, x), addMoment(read, x, received)];
      const [rows, sums] = await Promise.all([hidden.read(), signed.read(), ...adding]);
      weight += inverseSquares(rows!, width) / tokens;
      sums!.forEach((y, at) => {
        sharpness[Math.floor(at / SIGNS) % h]! += (y * y) / SIGNS / tokens;
      });
    });
    yield { all, read, weight, sharpness };
  }
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
  return multiplyAround(rows, moment);
}

/** The same of each head's rows, nothing between heads. */
export function momentsOfHeads(rows: Matrix, moment: Matrix, h: number): Matrix[] {
  const met = multiplyHalf(rows, moment);
  const of = (all: Matrix, head: number) => rowsOf(all, (head * rows.rows) / h, ((head + 1) * rows.rows) / h);
  return Array.from({ length: h }, (_, head) => addTransposed(multiplyTransposed(of(met, head), of(rows, head))));
}
