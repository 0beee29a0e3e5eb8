import { multiply, multiplyTransposed } from "./double.ts";
import type { LatentLayer } from "./latent.ts";
import { columnsOf, fillMatrix, type Matrix, matrix, rowsOf, scaleMatrix, transpose } from "./matrix.ts";
import { type Inputs, momentOf } from "./moment.ts";
import { centre, Spectrum } from "./subspace.ts";

/**
 * Queries through a bottleneck of this rank, the one that changes the layer's output least: an error dx of the input moves a head's score by
 * dx · W_Qᵀ k, so that the metric of inputs is the sum over heads of W_Qᵀ K W_Q times the head's spread, K the second moment of what its
 * queries meet; the turned key's is the same whatever turns it. Biases of queries stay behind the bottleneck. Exact at the rank d.
 */
export function compressQueries(
  layer: LatentLayer,
  inputs: Inputs,
  spread: ArrayLike<number>,
  rank: number,
): LatentLayer {
  const { d, content, rotary } = layer;
  const { down, up } = querySpectrum(layer, inputs, spread).of(rank);
  const behind = (rows: Matrix) => {
    const made = multiply(columnsOf(rows, 0, d), up);
    return fillMatrix(rows.rows, down.rows + 1, (i, j) =>
      j < down.rows ? made.values[i * down.rows + j]! : rows.values[i * (d + 1) + d]!,
    );
  };
  return {
    ...layer,
    bottleneck: { down: fillMatrix(down.rows, d + 1, (i, j) => (j < d ? down.values[i * d + j]! : 0)) },
    content: behind(content),
    rotary: behind(rotary),
  };
}

/** What each rank of a bottleneck of queries explains; `spread` as in a layer's portrait. */
export function querySpectrum(layer: LatentLayer, inputs: Inputs, spread: ArrayLike<number>): Spectrum {
  const { d, h, n, scale, content, rotary, keys, shared } = layer;
  const perToken = (rows: Matrix) => scaleMatrix(momentOf(rows, inputs.read), 1 / inputs.read.values.at(-1)!);
  // What all keys have in common adds one number to all scores of a query, but where it is turned.
  const [held, turned] = [centre(layer, inputs.read).moment, meanOfPairs(perToken(shared))];
  const metric = matrix(d, d);
  const add = (rows: Matrix, met: Matrix, by: number) => {
    const part = momentOf(transpose(columnsOf(rows, 0, d)), met);
    part.values.forEach((x, i) => {
      metric.values[i]! += by * x;
    });
  };
  const r = shared.rows;
  for (let head = 0; head < h; head++) {
    const by = scale ** 2 * spread[head]!;
    const unfold = rowsOf(keys, head * n, (head + 1) * n);
    add(rowsOf(content, head * n, (head + 1) * n), multiplyTransposed(multiply(unfold, held), unfold), by);
    if (r) add(rowsOf(rotary, head * r, (head + 1) * r), turned, by);
  }
  const width = d + 1;
  const { values } = inputs.all;
  return Spectrum.between(
    fillMatrix(d, d, (i, j) => values[i * width + j]! / values.at(-1)!),
    metric,
  );
}

/** The moment of turned pairs in the mean over all turns: of each pair the mean length, and nothing between pairs. */
function meanOfPairs({ rows: r, values }: Matrix): Matrix {
  return fillMatrix(r, r, (i, j) => {
    const pair = i - (i % 2);
    return i === j ? (values[pair * (r + 1)]! + values[(pair + 1) * (r + 1)]!) / 2 : 0;
  });
}
