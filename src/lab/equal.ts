/**
 * Losses where all variants have had equally much: as many FLOPs, or as many seconds of training steps on one machine. Whatever takes
 * more a step is met before its last one, on its own curve of held-out losses.
 */
import { levelOf } from "./resolve.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { type Interval, meanInterval, pairedDifference, type SeedLoss } from "./statistics.ts";

/** Losses at equal cost, as a result has them. */
export type Equal = NonNullable<Comparison["equal"]>[number];

/** What one variant's runs take from the first step to the last, and their curves. */
interface Priced extends Pick<VariantResult, "spec"> {
  readonly steps: number;
  readonly cost: number;
  readonly seeds: VariantResult["seeds"];
}

/**
 * Losses after equal FLOPs, those of the cheapest variant's whole run. Differences are to the first variant, paired by seed, with 95 %
 * over so many looks. Undefined for fewer than two variants.
 */
export function atEqualFlops(results: readonly VariantResult[], looks = 1): Equal | undefined {
  return atEqual(
    "FLOPs",
    results.map((result) => [result, result.trainFlops]),
    looks,
  );
}

/**
 * The same after equal seconds of training steps, by the measured tokens per second of each; evaluations and checkpoints are not
 * counted. `place` is the machine and the engine that all were trained with: times of different ones say nothing together.
 */
export function atEqualTime(
  results: readonly VariantResult[],
  looks: number,
  place: NonNullable<Equal["place"]>,
): Equal | undefined {
  const found = atEqual(
    "seconds",
    results.map((result) => [result, (result.tokens ?? 0) / result.train.tokensPerSecond]),
    looks,
  );
  return found && { ...found, place };
}

function atEqual(
  unit: Equal["unit"],
  costs: readonly (readonly [result: VariantResult, cost: number])[],
  looks: number,
): Equal | undefined {
  const priced = costs.flatMap(([{ spec, steps, seeds }, cost]): Priced[] =>
    steps && cost > 0 ? [{ spec, steps, cost, seeds }] : [],
  );
  if (priced.length < 2) return undefined;
  const amount = Math.min(...priced.map(({ cost }) => cost));
  const all = priced.map(({ spec, steps, cost, seeds }) => {
    const reached = steps * (amount / cost);
    return {
      spec,
      steps: reached,
      share: amount / cost,
      seeds: seeds.map(({ seed, heldOut }): SeedLoss => ({ seed, loss: heldOut ? lossAt(heldOut, reached) : null })),
    };
  });
  const [first] = all;
  return {
    unit,
    amount,
    variants: all.map(({ spec, steps, share, seeds }, i) => ({
      spec,
      steps,
      share,
      loss: plain(meanOf(seeds)),
      ...(i === 0
        ? {}
        : { versus: { spec: first!.spec, ...plain(pairedDifference(seeds, first!.seeds, levelOf(looks))) } }),
    })),
  };
}

/** On the line between the two evaluations about a step; null before the first, after the last, and where a loss was not finite. */
function lossAt(
  { steps, losses }: NonNullable<VariantResult["seeds"][number]["heldOut"]>,
  step: number,
): number | null {
  const after = steps.findIndex((at) => at >= step);
  if (after < 0) return null;
  const right = losses[after]!;
  if (steps[after] === step) return right;
  const left = losses[after - 1] ?? null;
  if (left === null || right === null) return null;
  const from = steps[after - 1]!;
  return left + ((right - left) * (step - from)) / (steps[after]! - from);
}

/** As the loss of a variant: none where a seed has none. */
function meanOf(seeds: readonly SeedLoss[]): Interval {
  return meanInterval(seeds.map(({ loss }) => loss ?? Number.NaN));
}

/** A result has null where there is no mean. */
function plain({ mean, low, high }: Interval): Equal["variants"][number]["loss"] {
  return { mean: Number.isFinite(mean) ? mean : null, low, high };
}
