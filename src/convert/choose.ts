import { comparable, lostBy, rankWithin, type Sampled, sampleOf, sumWorths, turnedDims } from "./budget.ts";
import type { Geometry } from "./grouped.ts";
import { type Wanted, worthOf } from "./method.ts";
import type { Portrait } from "./portrait.ts";
import { choosePairs } from "./turning.ts";

/** The layers that a choice is made over, and what is known of each. */
export interface Choosing {
  readonly layers: readonly number[];
  known(layer: number): Promise<{ readonly layer: Geometry; readonly portrait: Portrait }>;
  /** To be shared between turned dims and latent, where it is. */
  readonly budget: number | undefined;
  /** Whether text says what the layers' errors count for. */
  readonly text: boolean;
  readonly watch: (what: string, done: number, total: number) => void;
}

/**
 * What is chosen over all layers alike: sizes, where a budget is shared, and how many components of each frequency stay turned, by their
 * worth to all layers together.
 */
export async function chooseTurns(
  { layers, known, budget, text, watch }: Choosing,
  wanted: Wanted,
): Promise<{ readonly wanted: Wanted; readonly kept: readonly number[] }> {
  const some = budget === undefined ? [] : sampleOf(layers);
  const sampled: Sampled[] = [];
  let sums: Float64Array[] = [];
  for (const [done, i] of layers.entries()) {
    const { layer, portrait } = await known(i);
    const worths = comparable(worthOf(layer, portrait, wanted.context), portrait, text);
    sums = sumWorths(sums, worths);
    if (some.includes(i)) sampled.push({ layer, portrait, worths });
    watch("choosing what stays turned", done + 1, layers.length);
  }
  if (budget === undefined) return { wanted, kept: choosePairs(sums, wanted.r / 2) };
  // A budget is shared as what both parts leave out adds up to least, in some of the layers.
  const tried = turnedDims(budget, sampled[0]!.layer, wanted).map((r, done, all) => {
    const sized = { ...wanted, r, c: rankWithin(budget, r, wanted) };
    const kept = choosePairs(sums, r / 2);
    const lost = lostBy(sized, kept, sampled);
    watch("sharing the budget", done + 1, all.length);
    return { wanted: sized, kept, lost };
  });
  return tried.reduce((best, one) => (one.lost < best.lost ? one : best));
}
