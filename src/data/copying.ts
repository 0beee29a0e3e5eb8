import { ShapeError } from "../tensor/error.ts";
import { rowSource, type Source } from "./source.ts";

/** Sizes of the copying task. */
export interface CopyingSizes {
  /** Token ids in all: one that says "again", then the symbols. */
  readonly vocabulary: number;
  /** Symbols to copy. */
  readonly items: number;
}

/**
 * Copying: `a c b a | a c b a`. Each row is random symbols, a mark, and the same symbols again, which alone are scored. Every symbol
 * has to be kept, `items * log2(vocabulary - 1)` bits in all, so a state of fixed size ends somewhere, while a cache grows with the
 * row. A loss of ln(vocabulary - 1) is guessing. Of few symbols there are few rows, and training then meets those held out.
 *
 * `length` of a row must be at least 2 * items; what is longer is filled with marks before the symbols.
 * Errors: ShapeError for sizes that do not fit. Source: Jelassi et al., "Repeat After Me" (2024), arXiv 2402.01032, section 3.
 */
export function copyingSource(
  seed: number,
  { vocabulary = 64, items = 16 }: { readonly [size in keyof CopyingSizes]?: number | undefined } = {},
): Source {
  for (const [name, n, least] of [["vocabulary", vocabulary, 3] as const, ["items", items, 1] as const])
    if (!Number.isSafeInteger(n) || n < least)
      throw new ShapeError(`copying: got ${name} ${n}, expected a whole number of at least ${least}`);
  return rowSource(seed, {
    kind: "copying",
    sizes: `${items} items`,
    vocabulary,
    least: 2 * items,
    needs: `${items} items; use a longer context or fewer items`,
    fill(random, ids, targets) {
      const { length } = ids;
      const again = length - items;
      for (let i = again - items; i < again; i++) ids[i] = 1 + random.integer(vocabulary - 1);
      for (let i = again; i < length; i++) {
        targets[i] = ids[i - items]!;
        if (i + 1 < length) ids[i + 1] = targets[i]!;
      }
    },
    word: (id) => (id === 0 ? "|" : `s${id}`),
  });
}
