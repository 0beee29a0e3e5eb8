import type { Model } from "../model/model.ts";
import { forward, type Weights } from "../model/transformer.ts";
import { einsum } from "../ops/einsum/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
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
  const d = model.width;
  const moments = model.layers.map(() => matrix(d + 1, d + 1));
  await watchInputs(
    model,
    weights,
    sequences,
    async (layer, x) => {
      const into = moments[layer]!.values;
      const tokens = x.shape[0]!;
      // Both are asked for at once: what is enqueued is read after the scope is over.
      const [products, rows] = [einsum("t i, t j -> i j", x, x).read(), x.read()];
      const [products64, rows64] = await Promise.all([products, rows]);
      for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) into[i * (d + 1) + j]! += products64[i * d + j]!;
      for (let t = 0; t < tokens; t++)
        for (let j = 0; j < d; j++) {
          into[j * (d + 1) + d]! += rows64[t * d + j]!;
          into[d * (d + 1) + j]! += rows64[t * d + j]!;
        }
      into[d * (d + 1) + d]! += tokens;
    },
    watch,
  );
  return moments;
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
