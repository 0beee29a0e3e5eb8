/** Ranks that add up to `rank` a layer, each next one given where `gain` is largest: between half and twice the mean, and no more than there are. */
export function shareRanks(
  explained: readonly Float64Array[],
  rank: number,
  gain: (layer: number, rank: number) => number,
): number[] {
  const least = Math.max(1, Math.ceil(rank / 2));
  const ranks = explained.map(({ length }) => Math.min(least, length));
  let left = rank * ranks.length - ranks.reduce((a, b) => a + b, 0);
  for (; left > 0; left--) {
    let best = -1;
    let most = -1;
    ranks.forEach((at, layer) => {
      if (at >= Math.min(2 * rank, explained[layer]!.length)) return;
      const by = gain(layer, at);
      if (by > most) [best, most] = [layer, by];
    });
    if (best < 0) break;
    ranks[best]!++;
  }
  return ranks;
}
