import type { LatentLayer } from "./latent.ts";
import { fillMatrix, frobenius, type Matrix, matrix, scaleMatrix, stackRows } from "./matrix.ts";
import { foldBiases } from "./partial.ts";

/** Epsilon of the norms of latents: transformers has it whatever a config says, other engines by `rms_norm_eps`. */
export const EPS = 1e-6;

/** How much longer what fills a norm is than what must not move it: its mean square is then off by less than 2^-24, its root by half. */
const REACH = 2 ** 12;

/** The constant, where there is one: so long that no engine's epsilon is to be seen beside it, and short enough for float16. */
const CONSTANT = 2 ** 9;

/**
 * How the norms that stock models of MLA put on latents are kept from changing anything, in layers that have none:
 *
 * - `shrunk`: the latent is so small that the norm's own epsilon is all it divides by, the same number for every token, which gains
 *   multiply back. Nothing is added, so that every engine computes it that reads the same epsilon.
 * - `constant`: one more number of the latent is a constant, a bias of the down-projection, beside which the rest is small; its own
 *   gain is 0, so that a cache holds a 0 for it. For layers that have biases anyway: a bias is even in the hidden state, all else of
 *   such a layer is odd, so that without biases in the config there is no such function.
 *
 * What bounds the rest without any text is the norm before attention: inputs are no longer than sqrt(d) times its gains.
 */
export type Still = "shrunk" | "constant";

/** The same function with norms on the latent, and on the bottleneck of queries where there is one. */
export function holdNorms(layer: LatentLayer, gains: ArrayLike<number>, still: Still): LatentLayer {
  return still === "shrunk" ? shrinkNorms(foldBiases(layer), gains) : addConstant(layer, gains);
}

/** Whether a layer has a bias that no fold takes out of it: of queries, of the turned key, of the output. */
export function isBiased(layer: LatentLayer): boolean {
  const { content, rotary, shared, bottleneck, outputBias } = foldBiases(layer);
  const rows = [content, rotary, shared, ...(bottleneck ? [bottleneck.down] : [])];
  return rows.some(hasBias) || (outputBias?.some((x) => x !== 0) ?? false);
}

function shrinkNorms(layer: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  const { bottleneck } = layer;
  const latent = shrink(layer.latent, gains);
  const queries = bottleneck && !bottleneck.norm ? shrink(bottleneck.down, gains) : undefined;
  return {
    ...layer,
    outputBias: undefined,
    latent: latent.rows,
    norm: latent.norm,
    bottleneck: queries ? { down: queries.rows, norm: queries.norm } : bottleneck,
  };
}

/** Rows so small that the norm divides by the root of its epsilon, and gains, a power of two, that give them back. */
function shrink(rows: Matrix, gains: ArrayLike<number>) {
  const longest = longestOf(rows, gains);
  const gain = 2 ** Math.ceil(Math.log2((longest * REACH) / Math.sqrt(rows.rows)));
  return {
    rows: scaleMatrix(rows, Math.sqrt(EPS) / gain),
    norm: { gain: new Float64Array(rows.rows).fill(gain), eps: EPS },
  };
}

/** How long rows, biases aside, make any input of a layer. */
function longestOf({ rows, columns, values }: Matrix, gains: ArrayLike<number>): number {
  const d = columns - 1;
  const scaled = fillMatrix(rows, d, (i, j) => values[i * columns + j]! * gains[j]!);
  return Math.max(frobenius(scaled) * Math.sqrt(d), Number.MIN_VALUE * 2 ** 60);
}

function addConstant(layer: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  const { latent, keys, values } = layer;
  const held = besideConstant(latent, gains);
  return {
    ...standardBottleneck(layer, gains),
    latent: held.rows,
    norm: held.norm,
    keys: oneMore(keys),
    values: oneMore(values),
    outputBias: layer.outputBias ?? new Float64Array(layer.d),
  };
}

/** Stock queries have no bias but before a norm: with one, the bottleneck is the hidden state itself and a constant. */
function standardBottleneck(of: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  const { content, rotary, d } = of;
  if (of.bottleneck || !(hasBias(content) || hasBias(rotary))) return of;
  const { rows, norm } = besideConstant(wholeRows(d), gains, 1);
  const behind = (x: Matrix) => fillMatrix(x.rows, d + 2, (i, j) => (j <= d ? x.values[i * (d + 1) + j]! : 0));
  return { ...of, bottleneck: { down: rows, norm }, content: behind(content), rotary: behind(rotary) };
}

/** Queries through a bottleneck as wide as the model, for architectures that have no queries without one. */
export function wholeBottleneck(layer: LatentLayer): LatentLayer {
  return layer.bottleneck ? layer : { ...layer, bottleneck: { down: wholeRows(layer.d) } };
}

/** The hidden state itself, without a bias. */
const wholeRows = (d: number) => fillMatrix(d, d + 1, (i, j) => (i === j ? 1 : 0));

const hasBias = ({ rows, columns, values }: Matrix) =>
  Array.from({ length: rows }, (_, i) => values[i * columns + columns - 1]!).some((x) => x !== 0);

const oneMore = ({ rows, columns, values }: Matrix) =>
  fillMatrix(rows, columns + 1, (i, j) => (j < columns ? values[i * columns + j]! : 0));

/** Rows and a constant below them, and the norm that gives the rows back, and of the constant `kept`. */
function besideConstant(rows: Matrix, gains: ArrayLike<number>, kept = 0) {
  const [c, d] = [rows.rows + 1, rows.columns - 1];
  const bias = Array.from({ length: rows.rows }, (_, i) => rows.values[i * (d + 1) + d]!);
  const longest = longestOf(rows, gains) + Math.hypot(...bias);
  // A power of two, so that no number is rounded by it.
  const by = CONSTANT * 2 ** -Math.ceil(Math.log2(longest * REACH));
  const constant = matrix(1, d + 1);
  constant.values[d] = CONSTANT;
  const root = Math.sqrt(CONSTANT ** 2 / c + EPS);
  const gain = new Float64Array(c).fill(root / by);
  gain[c - 1] = (kept * root) / CONSTANT;
  return { rows: stackRows(scaleMatrix(rows, by), constant), norm: { gain, eps: EPS } };
}
