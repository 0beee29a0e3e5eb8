import { multiply } from "./double.ts";
import { type LatentLayer, unfoldMetric } from "./latent.ts";
import { blockOf, fillMatrix, type Matrix, trace } from "./matrix.ts";
import { momentOf } from "./moment.ts";
import { shareRanks } from "./share.ts";
import { Spectrum } from "./subspace.ts";
import { keyWidth } from "./transmla.ts";

/** How much of the mean diagonal is added to a covariance before its root is taken, as in FutureMLS-Lab/CARE (src/lora_qkv.py). */
const SHRINK = 0.1;

/**
 * CARE's factorisation (arXiv 2603.17946): with C the second moment of what the unfolding W = [W_UK; W_UV] meets on text, shrunk towards
 * a multiple of the identity, W is taken as the truncated singular value decomposition of W C^(1/2), times C^(-1/2). So it is the W' of
 * its rank with the least ||(W - W') C^(1/2)||, which is the case G = Wᵀ W of `Spectrum`: what is explained are squared singular values.
 * `moment` is of the layer's inputs. Keys and values share the latent.
 */
export function covarianceSpectrum(layer: LatentLayer, moment: Matrix): Spectrum {
  return Spectrum.between(shrink(momentOf(layer.latent, moment), SHRINK), unfoldMetric(layer));
}

/**
 * The same with a latent for keys and one for values, as CARE's authors factor each projection for itself (src/zeroshot/convert.py): each
 * has its own covariance and half of the rank, values the odd one. Side by side both are one latent of MLA. `layer` is one whose latent
 * holds keys before values, neither made of the other's numbers.
 */
export function separateSpectrum(layer: LatentLayer, moment: Matrix): Spectrum {
  const [whole, metric] = [momentOf(layer.latent, moment), unfoldMetric(layer)];
  const [keys, c] = [keyWidth(layer), whole.rows];
  const own = (from: number, to: number) =>
    Spectrum.between(shrink(blockOf(whole, from, to), SHRINK), blockOf(metric, from, to));
  return Spectrum.inTurn(own(0, keys), own(keys, c));
}

/** The layer with the latent of this rank that CARE's factorisation gives, of whose spectrum. */
export function compressBySpectrum(layer: LatentLayer, spectrum: Spectrum, rank: number): LatentLayer {
  const { down, up } = spectrum.of(rank);
  return {
    ...layer,
    latent: multiply(down, layer.latent),
    keys: multiply(layer.keys, up),
    values: multiply(layer.values, up),
  };
}

function shrink(moment: Matrix, by: number): Matrix {
  const n = moment.rows;
  const more = (by * trace(moment)) / n;
  return fillMatrix(n, n, (i, j) => moment.values[i * n + j]! + (i === j ? more : 0));
}

/**
 * CARE's adjusted ranks: one rank after the other goes where the next squared singular value is the largest share of what is still
 * left out. `explained` are those of each layer, largest first; `rank` of them go to a layer in the mean, half as many at least and
 * twice as many at most.
 */
export function adjustRanks(explained: readonly Float64Array[], rank: number): number[] {
  const tails = explained.map((of) => {
    const tail = Float64Array.from(of);
    for (let i = tail.length - 2; i >= 0; i--) tail[i]! += tail[i + 1]!;
    return tail;
  });
  return shareRanks(explained, rank, (layer, at) => explained[layer]![at]! / (tails[layer]![at]! || 1));
}
