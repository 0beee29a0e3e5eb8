/**
 * Seeds are added while some pair is not told apart. Who looks several times at growing numbers finds a difference by chance more
 * often, so each look's interval is wider: of K planned looks each may err in 5 / K of 100 experiments, all together in 5 (Bonferroni).
 */
import type { VariantResult } from "./result.ts";
import { exceeds, halfWidth, meanInterval, pairedDifferences, studentQuantile } from "./statistics.ts";

/** When a comparison has enough seeds. */
export interface Until {
  /** Seeds of a variant at the most. */
  readonly most: number;
  /** The smallest difference of interest, nats per token: a pair whose interval is narrower on both sides is as good as equal. */
  readonly difference?: number | undefined;
}

/** Numbers of seeds at which is looked, from the first on, each half as many again: planned beforehand, as the correction wants. */
export function looksOf(seeds: number, until: Until | undefined): number[] {
  const looks = [seeds];
  while (until && looks.at(-1)! < until.most) looks.push(Math.min(until.most, Math.ceil(1.5 * looks.at(-1)!)));
  return looks;
}

/** The level of each look's intervals so that all hold with 95 %. */
export function levelOf(looks: number): number {
  return 1 - 0.05 / looks;
}

/** The variants whose difference to the first one, paired by seed, is neither told from nothing nor shown to be of no interest. */
export function unresolved(results: readonly VariantResult[], { difference = 0 }: Until): string[] {
  return results
    .filter(({ versus }) => versus && !exceeds(versus) && !(halfWidth(versus) !== null && largest(versus) < difference))
    .map(({ spec }) => spec);
}

/** The largest difference, of either sign, that an interval still holds. */
function largest({ low, high }: { low: number | null; high: number | null }): number {
  return Math.max(Math.abs(low ?? Number.POSITIVE_INFINITY), Math.abs(high ?? Number.POSITIVE_INFINITY));
}

/**
 * Seeds with which an interval of paired differences that scatter like these would have half a width of `difference`; undefined for
 * fewer than two, which say nothing about scatter.
 */
export function seedsFor(difference: number, differences: readonly number[], looks = 1): number | undefined {
  const { low, high } = meanInterval(differences);
  if (low === null || high === null) return undefined;
  const n = differences.length;
  const deviation = ((high - low) / 2 / studentQuantile(n - 1)) * Math.sqrt(n);
  for (let seeds = 2; seeds < 10_000; seeds = Math.ceil(1.05 * seeds))
    if ((studentQuantile(seeds - 1, levelOf(looks)) * deviation) / Math.sqrt(seeds) <= difference) return seeds;
  return 10_000;
}

/** What to say of pairs that the most seeds did not tell apart: a sentence each, with the seeds that would. */
export function undecidedNotes(results: readonly VariantResult[], seeds: number, until: Until): string[] {
  const [first] = results;
  return unresolved(results, until).map((spec) => {
    const { seeds: own } = results.find((result) => result.spec === spec)!;
    const differences = pairedDifferences(own, first!.seeds);
    const { difference } = until;
    const needed = difference && seedsFor(difference, differences, looksOf(seeds, until).length);
    const then = needed ? `; to tell a difference of ${difference} takes about ${needed}` : "";
    return `${spec}: not told from ${first!.spec} with ${differences.length} seeds${then}`;
  });
}
