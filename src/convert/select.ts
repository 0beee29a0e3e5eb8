import { FormatError } from "../tensor/error.ts";

/** Which rotary pairs of each key head keep their rotation: MHA2MLA's four ways (arXiv 2502.14837, section 3.1). */
export const selections = ["high", "low", "uniform", "2-norm"] as const;
export type Selection = (typeof selections)[number];

/**
 * Pairs that keep their rotation, in rising order, where all heads keep the same: the `kept` that turn fastest, slowest, or evenly
 * spread ones from `start` on, as that is counted over the whole head's 2 `pairs` numbers. Throws FormatError.
 */
export function selectPairs(
  how: Exclude<Selection, "2-norm">,
  pairs: number,
  kept: number,
  start = 0,
): readonly number[] {
  if (!(kept >= 0 && kept <= pairs))
    throw new FormatError(`rotary pairs: got ${kept} to keep, expected 0 to ${pairs}; a head has no more`);
  if (how === "high") return range(0, kept);
  if (how === "low") return range(pairs - kept, pairs);
  const step = kept ? Math.floor(pairs / kept) : pairs + 1;
  if (kept && pairs % step)
    throw new FormatError(
      `rotary pairs: got ${kept} evenly spread ones of ${pairs}, expected a number whose step of ${step} divides ${pairs}`,
    );
  if (kept && !(start >= 0 && start < step))
    throw new FormatError(`rotary pairs: got a first one of ${start}, expected 0 to ${step - 1}, within the step`);
  return kept ? range(0, pairs).filter((i) => i % step === start) : [];
}

/** The pairs of rank below `kept` in each head, of ranks `[heads, pairs]` by falling weight. */
export function selectRanked(ranks: ArrayLike<number>, heads: number, kept: number): readonly (readonly number[])[] {
  const pairs = ranks.length / heads;
  return range(0, heads).map((head) => range(0, pairs).filter((i) => ranks[head * pairs + i]! < kept));
}

/**
 * Ranks `[heads, pairs]` by falling weight, of weights of the same shape; of equal ones the earlier pair comes first. MHA2MLA's
 * weight of a pair is the mean length of its queries times the mean length of its keys, summed over the heads of a group.
 */
export function rankPairs(weights: ArrayLike<number>, heads: number): Int32Array {
  const pairs = weights.length / heads;
  const ranks = new Int32Array(weights.length);
  for (let head = 0; head < heads; head++) {
    const at = head * pairs;
    const order = range(0, pairs).sort((i, j) => weights[at + j]! - weights[at + i]! || i - j);
    order.forEach((pair, rank) => {
      ranks[at + pair] = rank;
    });
  }
  return ranks;
}

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
