import { eigenSymmetric } from "./eigen.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix } from "./matrix.ts";
import { momentOf } from "./moment.ts";

/** What each rank of a latent holds of its squared length at best, largest first. */
export function lengthsOf(layer: LatentLayer, moment: Matrix): Float64Array {
  return eigenSymmetric(momentOf(layer.latent, moment), 0).values.map((x) => Math.max(0, x));
}

/**
 * What all that is `explained` is together, and the share of it that each number of ranks leaves out: of k ranks at place k. There are
 * `ranks`; what is explained beyond them none of them reaches.
 */
export function lostShares(
  explained: ArrayLike<number>,
  ranks = explained.length,
): { readonly whole: number; readonly shares: Float64Array } {
  const lost = new Float64Array(explained.length + 1);
  for (let k = explained.length - 1; k >= 0; k--) lost[k] = lost[k + 1]! + explained[k]!;
  const whole = lost[0]!;
  return { whole, shares: lost.subarray(0, ranks + 1).map((x) => x / (whole || 1)) };
}

/**
 * What stands for a second moment where there is no text: inputs of all directions alike before the norm's gains, `[d + 1, d + 1]`. A
 * truncated SVD of the weights is the case where gains are 1.
 */
export function blindMoment(gains: ArrayLike<number>): Matrix {
  const d = gains.length;
  return fillMatrix(d + 1, d + 1, (i, j) => (i !== j ? 0 : i < d ? gains[i]! ** 2 : 1));
}
