/**
 * How many of `budget` tokens each prompt gets that is being read, given what is left of each, the oldest first: the oldest a half,
 * so that no prompt waits for ever; the rest goes to those with the fewest left, so that a short one is not kept by a long one.
 */
export function shareOut(lefts: readonly number[], budget: number): number[] {
  const shares = lefts.map(() => 0);
  let free = budget;
  const give = (i: number, most: number) => {
    const more = Math.min(most, free, lefts[i]! - shares[i]!);
    shares[i]! += more;
    free -= more;
  };
  if (lefts.length > 1) give(0, Math.ceil(budget / 2));
  for (const i of lefts.map((_, i) => i).sort((a, b) => lefts[a]! - lefts[b]! || a - b)) give(i, free);
  return shares;
}
