/** Letters that tell which names are meant by their beginning. */
const SOME = 3;

/**
 * The shortest name that goes on from what was written; where none does, the one that takes the fewest changed, added or left out
 * letters, where those are no more than a third of it.
 */
export function nearest(wanted: string, names: readonly string[]): string | undefined {
  const short = wanted.slice(0, 64).toLowerCase();
  const [longer] = names.filter((name) => name.toLowerCase().startsWith(short)).sort((a, b) => a.length - b.length);
  if (longer !== undefined && short.length >= SOME) return longer;
  const most = Math.max(2, short.length / 3);
  const [best] = names
    .filter(({ length }) => Math.abs(length - short.length) <= most)
    .map((name) => ({ name, changes: distance(short, name.toLowerCase()) }))
    .sort((a, b) => a.changes - b.changes);
  return best && best.changes <= most ? best.name : undefined;
}

/** Levenshtein's distance, a row of its table at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
