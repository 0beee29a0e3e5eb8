import { FormatError } from "../tensor/error.ts";
import { adjustRanks } from "./care.ts";
import type { Geometry } from "./grouped.ts";
import { latentsOf, measuresOf, spareOf, type Wanted } from "./method.ts";
import type { Portrait } from "./portrait.ts";
import { shareRanks } from "./share.ts";
import { lostShares } from "./spectrum.ts";
import { explainedAlone } from "./subspace.ts";

/** Layers that a budget's share of turned dims is chosen by, and the shares that are tried. */
const SAMPLE = 6;
const SHARES = [1 / 6, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3] as const;

/** Turned dims that are tried for a budget: even numbers that leave the latent something, and that the layer can give. */
export function turnedDims(
  budget: number,
  { keyGroups: g, r, e, v }: Geometry,
  wanted: Omit<Wanted, "c" | "r">,
): number[] {
  const most = Math.min(budget - 2, g * r);
  const least = Math.max(0, budget - g * (e + v));
  const tried = SHARES.map((share) => Math.min(most, Math.max(least, Math.round((share * budget) / 4) * 4)));
  const possible = tried.map((x) => x - (x % 2)).filter((x) => rankWithin(budget, x, wanted) > spareOf(wanted));
  return [...new Set(possible)];
}

/** The rank that a budget leaves each latent beside the turned dims. */
export const rankWithin = (budget: number, r: number, wanted: Pick<Wanted, "variant" | "latents">): number =>
  Math.floor((budget - r) / latentsOf(wanted));

/** Throws FormatError for a budget that leaves nothing of the cache out, or too little in. */
export function checkBudget(
  subject: string,
  { keyGroups: g, e, v }: Geometry,
  budget: number,
  wanted: Pick<Wanted, "variant" | "latents">,
): void {
  const [least, whole] = [2 + 2 * latentsOf(wanted), g * (e + v)];
  if (budget < least || budget > whole)
    throw new FormatError(
      `${subject}: budget: got ${budget} numbers, expected ${least} to ${whole}, the layer's whole cache`,
    );
}

/** Worths that compare layers: by what errors of each count for, where text says so, or else as shares of the layer's own. */
export function comparable(worths: readonly Float64Array[], { weight }: Portrait, text: boolean): Float64Array[] {
  const total = worths.reduce((sum, of) => of.reduce((a, b) => a + b, sum), 0);
  const by = text ? weight : 1 / (total || 1);
  return worths.map((of) => of.map((x) => x * by));
}

/** Worths of layers together, by frequency and component: those added up so far, and of one more. */
export function sumWorths(sums: readonly Float64Array[], worths: readonly Float64Array[]): Float64Array[] {
  return worths.map((worth, f) => worth.map((x, k) => x + (sums[f]?.[k] ?? 0)));
}

/** A layer that a choice is made by, what is known of it, and what its components are worth. */
export interface Sampled {
  readonly layer: Geometry;
  readonly portrait: Portrait;
  readonly worths: readonly Float64Array[];
}

/** Layers to choose by, spread evenly. */
export function sampleOf(layers: readonly number[]): number[] {
  const count = Math.min(SAMPLE, layers.length);
  return Array.from({ length: count }, (_, i) => layers[Math.floor(((i + 0.5) * layers.length) / count)]!);
}

/** What layers lose at these sizes: components that are not turned, and what the latent leaves out. */
export function lostBy(wanted: Wanted, kept: readonly number[], layers: readonly Sampled[]): number {
  let lost = 0;
  for (const { layer, portrait, worths } of layers) {
    worths.forEach((worth, f) => {
      for (let k = kept[f]!; k < worth.length; k++) lost += worth[k]!;
    });
    for (const { moment, metric } of measuresOf(layer, { portrait, kept }, wanted)) {
      const explained = explainedAlone(moment, metric);
      lost += portrait.weight * explained.slice(wanted.c - spareOf(wanted)).reduce((a, b) => a + b, 0);
    }
  }
  return lost;
}

/**
 * The latent's rank in each layer, as many in the mean as are wanted: `explained` by the ranks of each, `wholes` what all of a layer's
 * count for beside those of others. Without text nothing says that, and each layer counts alike.
 */
export function ranksByLayer(
  wanted: Wanted,
  explained: readonly Float64Array[],
  wholes: readonly number[] | undefined,
): number[] {
  const spare = spareOf(wanted);
  const rank = wanted.c - spare;
  const shares = explained.map((of) => lostShares(of).shares);
  const gain = (i: number, at: number) => (shares[i]![at]! - shares[i]![at + 1]!) * (wholes?.[i] ?? 1);
  const ranks = wanted.method === "care" ? adjustRanks(explained, rank) : shareRanks(explained, rank, gain);
  return ranks.map((own) => own + spare);
}
