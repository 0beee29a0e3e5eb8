import { eigenSymmetric } from "./eigen.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix } from "./matrix.ts";
import { type Inputs, momentOf } from "./moment.ts";
import { aboutOf, Spectrum, sensitivityOf } from "./subspace.ts";

/** The share of a latent's squared length that each rank leaves out, at best: of rank k at place k. */
export function lostShares(layer: LatentLayer, moment: Matrix): Float64Array {
  const { values } = eigenSymmetric(momentOf(layer.latent, moment));
  const lost = new Float64Array(values.length + 1);
  for (let k = values.length - 1; k >= 0; k--) lost[k] = lost[k + 1]! + Math.max(0, values[k]!);
  return lost.map((x) => x / (lost[0]! || 1));
}

/** The share of the output's change by what the latent loses, of each rank: squared errors weighed by all that reads the latent. */
export function weighedShares(layer: LatentLayer, inputs: Inputs, biases: boolean): Float64Array {
  const spectrum = new Spectrum(aboutOf(layer, inputs.read, biases).moment, sensitivityOf(layer, inputs).metric);
  const ranks = Array.from({ length: layer.latent.rows + 1 }, (_, k) => spectrum.lost(k));
  return Float64Array.from(ranks, (x) => x / (ranks[0] || 1));
}

/**
 * What stands for a second moment where there is no text: inputs of all directions alike before the norm's gains, `[d + 1, d + 1]`. A
 * truncated SVD of the weights is the case where gains are 1.
 */
export function blindMoment(gains: ArrayLike<number>): Matrix {
  const d = gains.length;
  return fillMatrix(d + 1, d + 1, (i, j) => (i !== j ? 0 : i < d ? gains[i]! ** 2 : 1));
}
