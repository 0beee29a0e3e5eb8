import { appendTogether, type Entry as Given } from "../generate/together.ts";
import type { Numbers } from "../tensor/tensor.ts";

/** What a sequence brings to a step, and of which of its tokens logits are wanted. */
export interface Entry extends Given {
  readonly logits: NonNullable<Given["logits"]>;
}

/** One step of several sessions of a vocabulary: the logits of each `[rows, vocabulary]`. Throws as `appendTogether`. */
export async function stepTogether(entries: readonly Entry[], vocabulary: number): Promise<Numbers[]> {
  const rows = entries.map(({ ids, logits }) => ({ all: ids.length, last: 1, none: 0 })[logits]);
  // Scores of a prompt are to be the same whatever runs beside it.
  const output = appendTogether(entries, { exact: entries.some(({ logits }) => logits === "all") });
  try {
    // Waited for even where nothing is wanted: the device may fall behind no further.
    const numbers = await output.read();
    let at = 0;
    return rows.map((count) => {
      const from = at;
      at += count * vocabulary;
      return numbers.subarray(from, at);
    });
  } finally {
    output.free();
  }
}
