import { FormatError } from "../tensor/error.ts";
import { multiply, multiplyTransposed } from "./double.ts";
import { eigenSymmetric, leading } from "./eigen.ts";
import { type LatentLayer, projectLatent } from "./latent.ts";
import { fillMatrix, type Matrix, scaleRows, stackRows, transpose } from "./matrix.ts";
import { momentOf } from "./moment.ts";
import { type Gathered, turnQueries } from "./rorope.ts";

/** TransMLA's settings after positions are gathered (fxmeng/TransMLA, transmla/lora_qkv.py). */
export interface Transmla {
  readonly rank: number;
  readonly queryRank?: number | undefined;
  /** How much longer keys may be than values in the latent, in the mean; not balanced where there is none. */
  readonly balance?: number | undefined;
}

/**
 * The latent [keys without position | values] by principal components of what it holds on text, keys first divided so that they are
 * about as long as values (BKV), and queries by theirs where they get a rank (arXiv 2502.07864, section 4.4). `moment` is the
 * second moment of the layer's inputs in the model whose positions are gathered. Throws FormatError.
 */
export function compressLatent(given: Gathered, moment: Matrix, { rank, queryRank, balance }: Transmla): LatentLayer {
  const layer = queryRank === undefined ? given.layer : compressQueries(given, moment, queryRank);
  const c = layer.latent.rows;
  if (!(rank >= 1 && rank <= c)) throw new FormatError(`kv_lora_rank: got ${rank}, expected 1 to ${c}`);
  const [balanced, whole] = balanceKeys(layer, momentOf(layer.latent, moment), balance);
  const basis = leading(eigenSymmetric(whole), rank);
  return projectLatent(balanced, basis);
}

/** Numbers of the latent before the first that a value is made of: those that keys have to themselves. */
export function keyWidth({ values }: LatentLayer): number {
  let first = values.columns;
  for (let i = 0; i < values.rows; i++)
    for (let j = 0; j < first; j++) if (values.values[i * values.columns + j] !== 0) first = j;
  return first;
}

/** The same layer whose latent holds keys divided by the ratio of lengths, and the second moment of that latent. */
function balanceKeys(layer: LatentLayer, whole: Matrix, balance: number | undefined): [LatentLayer, Matrix] {
  const [c, keys, turned] = [whole.rows, keyWidth(layer), layer.shared.rows];
  if (balance === undefined) return [layer, whole];
  const mean = (from: number, to: number) => {
    let sum = 0;
    for (let i = from; i < to; i++) sum += Math.sqrt(whole.values[i * (c + 1)]!);
    return sum / (to - from);
  };
  // TransMLA leaves as many values out of the mean as there are turned dims.
  const ratio = mean(0, keys) / (mean(keys + turned, c) * balance);
  const by = Float64Array.from({ length: c }, (_, i) => (i < keys ? 1 / ratio : 1));
  return [
    {
      ...layer,
      latent: scaleRows(layer.latent, by),
      keys: fillMatrix(layer.keys.rows, c, (i, j) => layer.keys.values[i * c + j]! / by[j]!),
    },
    fillMatrix(c, c, (i, j) => whole.values[i * c + j]! * by[i]! * by[j]!),
  ];
}

/**
 * Queries through a bottleneck of their principal components; what the turned key asks is made of the same. Their bias stays behind
 * it. No norm follows the bottleneck yet.
 */
function compressQueries({ layer, turns }: Gathered, moment: Matrix, rank: number): LatentLayer {
  const { d, h, content, rotary } = layer;
  if (!(rank >= 1 && rank <= content.rows))
    throw new FormatError(`q_lora_rank: got ${rank}, expected 1 to ${content.rows}`);
  const basis = leading(eigenSymmetric(momentOf(content, moment)), rank);
  const up = transpose(basis);
  return {
    ...layer,
    bottleneck: { down: multiply(basis, withoutBias(content)) },
    content: withBias(up, content),
    rotary: withBias(turnQueries(turns, up, h), rotary),
  };

  /** A bottleneck has no bias before it. */
  function withoutBias(rows: Matrix): Matrix {
    return fillMatrix(rows.rows, d + 1, (i, j) => (j < d ? rows.values[i * (d + 1) + j]! : 0));
  }
}

/** Rows with the last column of others. */
function withBias(rows: Matrix, other: Matrix): Matrix {
  const bias = other.columns - 1;
  return fillMatrix(rows.rows, rows.columns + 1, (i, j) =>
    j < rows.columns ? rows.values[i * rows.columns + j]! : other.values[i * other.columns + bias]!,
  );
}

/** Mean of 1 / RMS over the vectors that rows give on text, before a norm. */
export interface Lengths {
  readonly latent: number;
  readonly query: number;
}

/**
 * A norm after the latent, and after the bottleneck where there is one, as TransMLA puts them with `use_qkv_norm`: all gains the
 * mean of 1 / RMS that it finds on text. That is another function: what a norm changes is left to training.
 */
export function addNorms(layer: LatentLayer, eps: number, lengths: Lengths): LatentLayer {
  const norm = (size: number, gain: number) => ({ gain: new Float64Array(size).fill(gain), eps });
  const { bottleneck } = layer;
  return {
    ...layer,
    norm: norm(layer.latent.rows, lengths.latent),
    bottleneck: bottleneck && { ...bottleneck, norm: norm(bottleneck.down.rows, lengths.query) },
  };
}

/** Means of 1 / RMS over tokens, of what a layer's latent and bottleneck hold before their norms. */
export class LatentLengths {
  readonly #layer: LatentLayer;
  readonly #eps: number;
  #tokens = 0;
  #latent = 0;
  #query = 0;

  constructor(layer: LatentLayer, eps: number) {
    this.#layer = layer;
    this.#eps = eps;
  }

  /** Counts the tokens whose layer inputs these are, `[tokens, d + 1]`. */
  add(inputs: Matrix): void {
    const { latent, shared, bottleneck } = this.#layer;
    this.#tokens += inputs.rows;
    // TransMLA looks at the whole output of its down-projection, which holds the turned key as well.
    this.#latent += this.#sum(inputs, stackRows(latent, shared));
    this.#query += bottleneck ? this.#sum(inputs, bottleneck.down) : 0;
  }

  #sum(inputs: Matrix, rows: Matrix): number {
    const { columns, values } = multiplyTransposed(inputs, rows);
    let sum = 0;
    for (let t = 0; t < inputs.rows; t++) {
      let square = 0;
      for (let i = 0; i < columns; i++) square += values[t * columns + i]! ** 2;
      sum += 1 / Math.sqrt(square / columns + this.#eps);
    }
    return sum;
  }

  mean(): Lengths {
    return { latent: this.#latent / this.#tokens, query: this.#query / this.#tokens };
  }
}
