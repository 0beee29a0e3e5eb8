/** Squares of token lengths in all, which bound the work: a hundred times that of large vocabularies. */
const WORK_LIMIT = 2 ** 31;

/**
 * The merges that make SentencePiece's BPE of a plain one: each token that is two others put together, in every way it is, the
 * best score first. Where one token comes from several pairs, the longer left part goes first, as the hub's converter has it.
 * `made` says which tokens may come from merging, and be merged. Undefined where the tokens are so long that looking would take
 * for ever.
 */
export function piecesMerges(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  made: (id: number) => boolean,
): [string, string][] | undefined {
  const known = new Set(tokens.filter((_, id) => made(id)));
  const merges: { left: string; right: string; score: number }[] = [];
  let work = 0;
  for (const [id, token] of tokens.entries()) {
    if (!made(id)) continue;
    work += token.length ** 2;
    if (work > WORK_LIMIT) return undefined;
    for (let cut = 1; cut < token.length; cut++) {
      const left = token.slice(0, cut);
      if (!known.has(left)) continue;
      const right = token.slice(cut);
      if (known.has(right)) merges.push({ left, right, score: scores[id]! });
    }
  }
  merges.sort((a, b) => b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length);
  return merges.map(({ left, right }) => [left, right]);
}
