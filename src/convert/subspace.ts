import { multiply, multiplyTransposed } from "./double.ts";
import { eigenSymmetric } from "./eigen.ts";
import type { LatentLayer } from "./latent.ts";
import {
  columnsOf,
  fillMatrix,
  type Matrix,
  matrix,
  pickRows,
  rowsOf,
  scaleMatrix,
  scaleRows,
  transpose,
} from "./matrix.ts";
import { momentOf } from "./moment.ts";
import type { Portrait } from "./portrait.ts";

/** Maps to fewer numbers and back: `[rank, c]` and `[c, rank]`. */
export interface Subspace {
  readonly down: Matrix;
  readonly up: Matrix;
}

/** The root of a metric, kept from zero, and its inverse, each a matrix `[c, c]` times any rotation from the left. */
function rootsOf(metric: Matrix) {
  const { values, vectors } = eigenSymmetric(metric);
  // A direction that nothing reads: kept from infinity, its share of the error is of the order of rounding.
  const least = 1e-9 * Math.max(values[0]!, Number.MIN_VALUE);
  const roots = values.map((x) => Math.sqrt(Math.max(x, least)));
  const inverses = roots.map((x) => 1 / x);
  return { root: scaleRows(vectors, roots), back: () => transpose(scaleRows(vectors, inverses)) };
}

const clipped = (values: Float64Array) => values.map((x) => Math.max(0, x));

/** What each further rank explains, as `Spectrum` has it, without its subspaces. */
export const explainedAlone = (moment: Matrix, metric: Matrix): Float64Array =>
  clipped(eigenSymmetric(momentOf(rootsOf(metric).root, moment), 0).values);

/** What text and a metric say of which directions of a latent are worth keeping. */
export class Spectrum {
  /** What each further rank explains, largest first (of two spectra in turn, of each): their sum is E lᵀ G l. */
  readonly explained: Float64Array;
  /** Of the full rank: a smaller one is its first rows and columns. */
  readonly whole: Subspace;

  constructor(explained: Float64Array, whole: Subspace) {
    this.explained = explained;
    this.whole = whole;
  }

  /**
   * The best subspaces of every rank at once: P = up down of rank k with the least E (l - P l)ᵀ G (l - P l), for vectors l of the
   * second moment `moment` and a metric G, both `[c, c]`. With S the root of G: eigenvectors U of S M S, down = Uᵀ S, up = S⁻¹ U.
   * PCA is the case G = I (TransMLA, CARE), a truncated SVD of weights W the case G = I, M = W Wᵀ (MHA2MLA).
   */
  static between(moment: Matrix, metric: Matrix): Spectrum {
    const { root, back } = rootsOf(metric);
    const { values, vectors } = eigenSymmetric(momentOf(root, moment));
    return new Spectrum(clipped(values), {
      down: multiply(vectors, root),
      up: multiplyTransposed(back(), vectors),
    });
  }

  /** Of a vector whose first numbers one spectrum is of and whose other numbers the next: ranks of both in turn, of the second first. */
  static inTurn(one: Spectrum, two: Spectrum): Spectrum {
    const [n1, n2] = [one.explained.length, two.explained.length];
    const c = n1 + n2;
    // Of a rank of k, the second has the half that is rounded up, as long as there are so many.
    const order: [of: Spectrum, at: number, from: number][] = [];
    for (let i = 0; i < Math.max(n1, n2); i++) {
      if (i < n2) order.push([two, i, n1]);
      if (i < n1) order.push([one, i, 0]);
    }
    const [down, up] = [matrix(c, c), matrix(c, c)];
    order.forEach(([{ whole, explained }, at, from], k) => {
      for (let j = 0, n = explained.length; j < n; j++) {
        down.values[k * c + from + j] = whole.down.values[at * n + j]!;
        up.values[(from + j) * c + k] = whole.up.values[j * n + at]!;
      }
    });
    return new Spectrum(
      Float64Array.from(order, ([of, at]) => of.explained[at]!),
      { down, up },
    );
  }

  /** The best subspace of this rank. */
  of(rank: number): Subspace {
    const { down, up } = this.whole;
    const kept = Math.min(rank, down.rows);
    return { down: rowsOf(down, 0, kept), up: columnsOf(up, 0, kept) };
  }

  /** What a rank leaves unexplained. */
  lost(rank: number): number {
    let sum = 0;
    for (let i = this.explained.length - 1; i >= rank; i--) sum += this.explained[i]!;
    return sum;
  }
}

/** Which columns have numbers other than 0, and those, each a row. */
function readColumns(rows: Matrix): { readonly across: Matrix; readonly read: readonly number[] } {
  const across = transpose(rows);
  const read = Array.from({ length: across.rows }, (_, j) => j).filter((j) =>
    rowsOf(across, j, j + 1).values.some((x) => x !== 0),
  );
  return { across: read.length < across.rows ? pickRows(across, read) : across, read };
}

/** Sum over heads of unfoldᵀ inner unfold, `inner` one for each head: `[c, c]`. */
function sumOverHeads(unfold: Matrix, h: number, inner: (head: number) => Matrix): Matrix {
  const [c, width] = [unfold.columns, unfold.rows / h];
  const out = new Float64Array(c * c);
  for (let head = 0; head < h; head++) {
    // A head reads its own group's values, which are few of the latent's numbers before it is mixed.
    const { across, read } = readColumns(rowsOf(unfold, head * width, (head + 1) * width));
    const part = momentOf(across, inner(head));
    read.forEach((i, a) => {
      read.forEach((j, b) => {
        out[i * c + j]! += part.values[a * read.length + b]!;
      });
    });
  }
  return { rows: c, columns: c, values: out };
}

/**
 * How much an error of the latent changes what the layer gives, as a metric `[c, c]`, of a layer in its own coordinates. Through values,
 * dl becomes W_O W_UV dl. Through a score of query q, ds = q · W_UK dl times the softmax scale, and the output moves by its weight times
 * ds (v - o), of which `spread` is the mean square: so both are squared numbers of the same output. Queries are those of all tokens,
 * values count as often as they are read.
 */
export function metricOf(layer: LatentLayer, { queries, outputs, spread }: Portrait): Matrix {
  const { h, n, content, keys, values, scale } = layer;
  const e = queries[0]!.rows;
  const byScore = sumOverHeads(keys, h, (head) => {
    const asks = columnsOf(rowsOf(content, head * n, (head + 1) * n), 0, e);
    return scaleMatrix(momentOf(asks, queries[head]!), scale ** 2 * spread[head]!);
  });
  const byValue = sumOverHeads(values, h, (head) => outputs[head]!);
  return { ...byScore, values: byScore.values.map((x, i) => x + byValue.values[i]!) };
}

/** Mean and covariance of a layer's latent on text, of whose inputs `moment` is the second moment. */
export function centre(layer: LatentLayer, moment: Matrix): { readonly mean: Float64Array; readonly moment: Matrix } {
  const { latent } = layer;
  const [c, width] = [latent.rows, latent.columns];
  const tokens = moment.values.at(-1)!;
  const inputs = Float64Array.from({ length: width }, (_, j) => moment.values[j * width + width - 1]! / tokens);
  const mean = Float64Array.from({ length: c }, (_, i) =>
    inputs.reduce((sum, x, j) => sum + latent.values[i * width + j]! * x, 0),
  );
  const whole = momentOf(latent, moment);
  return {
    mean,
    moment: fillMatrix(c, c, (i, j) => whole.values[i * c + j]! / tokens - mean[i]! * mean[j]!),
  };
}

/**
 * What a latent is compressed about: the mean of text, where a bias of the output may give it back, or else zero. Then the mean is a
 * direction like any other, and takes about one of the rank.
 */
export function aboutOf(layer: LatentLayer, moment: Matrix, biases: boolean): ReturnType<typeof centre> {
  if (biases) return centre(layer, moment);
  const by = 1 / moment.values.at(-1)!;
  return { mean: new Float64Array(layer.latent.rows), moment: scaleMatrix(momentOf(layer.latent, moment), by) };
}

/**
 * The layer with a latent of this rank that holds what differs from the mean of text. The mean of keys adds one number to all scores of a
 * query, which softmax does not see; that of values is a bias of the output. So neither takes of the rank, and neither is lost.
 */
export function compressCentred(layer: LatentLayer, { down, up }: Subspace, mean: Float64Array): LatentLayer {
  const { d, latent, values, output } = layer;
  const width = d + 1;
  const small = multiply(down, latent);
  for (let i = 0; i < small.rows; i++) {
    let shift = 0;
    for (let j = 0; j < latent.rows; j++) shift += down.values[i * latent.rows + j]! * mean[j]!;
    small.values[i * width + d]! -= shift;
  }
  const heads = Float64Array.from({ length: values.rows }, (_, i) =>
    mean.reduce((sum, x, j) => sum + values.values[i * values.columns + j]! * x, 0),
  );
  return {
    ...layer,
    latent: small,
    keys: multiply(layer.keys, up),
    values: multiply(values, up),
    outputBias: Float64Array.from({ length: d }, (_, i) =>
      heads.reduce((sum, x, j) => sum + output.values[i * output.columns + j]! * x, layer.outputBias?.[i] ?? 0),
    ),
  };
}
