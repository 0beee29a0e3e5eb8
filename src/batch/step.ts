import { appendTogether, type Entry as Given } from "../generate/together.ts";
import { leaders } from "../ops/leaders/index.ts";
import type { Numbers, Tensor } from "../tensor/tensor.ts";

/** What a sequence brings to a step, and of which of its tokens logits are wanted. */
export interface Entry extends Given {
  readonly logits: NonNullable<Given["logits"]>;
  /** How many leaders of the newest token's logits are enough; undefined where all are wanted. */
  readonly few: number | undefined;
}

/** What a step gives for an entry: logits `[rows, vocabulary]`, or leaders `[2, k]` of its newest token's (ops/leaders). */
export interface Result {
  readonly numbers: Numbers;
  readonly few: boolean;
}

/** One step of several sessions of a vocabulary. Where leaders are enough for all, no more is read. Throws as `appendTogether`. */
export async function stepTogether(entries: readonly Entry[], vocabulary: number): Promise<Result[]> {
  const rows = entries.map(({ ids, logits }) => ({ all: ids.length, last: 1, none: 0 })[logits]);
  // Scores of a prompt are to be the same whatever runs beside it.
  const output = appendTogether(entries, { exact: entries.some(({ logits }) => logits === "all") });
  let found: Tensor | undefined;
  try {
    // Waited for even where nothing is wanted: the device may fall behind no further.
    const wanted = entries.filter(({ logits }) => logits !== "none");
    const few = wanted.every((entry) => entry.few !== undefined && entry.logits === "last");
    if (few && wanted.length)
      found = leaders(output, Math.min(vocabulary, Math.max(...wanted.map((entry) => entry.few!))));
    const numbers = await (found ?? output).read();
    const width = found ? 2 * found.shape[2]! : vocabulary;
    let at = 0;
    return rows.map((count) => {
      const start = at;
      at += count * width;
      return { numbers: numbers.subarray(start, at), few: found !== undefined };
    });
  } finally {
    for (const t of [output, found]) t?.free();
  }
}
