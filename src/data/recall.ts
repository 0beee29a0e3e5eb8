import { ShapeError } from "../tensor/error.ts";
import type { Random } from "../tensor/random.ts";
import { rowSource, type Source } from "./source.ts";

/** Sizes of the recall task. */
export interface RecallSizes {
  /** Token ids in all: one filler, then as many keys as values. */
  readonly vocabulary: number;
  /** Key-value pairs to remember, all keys different. */
  readonly pairs: number;
  /** Keys asked for afterwards; every key once before any is asked again. */
  readonly queries: number;
}

/**
 * Multi-query associative recall: `k1 v1 k2 v2 ... | .. k2 . k1 ..`. Each row binds fresh random values to keys, then asks for
 * some of them at random distances; only the answers are scored. How many pairs a model can hold measures what its cache
 * can hold, and a loss of ln(values) is guessing.
 *
 * `length` of a row must be at least 2 * pairs + queries; what is longer is filler between the queries.
 * Errors: ShapeError for sizes that do not fit. Source: Arora et al., "Zoology" (2023), arXiv 2312.04927, section 3.
 */
export function recallSource(
  seed: number,
  { vocabulary = 64, pairs = 8, queries = pairs }: { readonly [size in keyof RecallSizes]?: number | undefined } = {},
): Source {
  const keys = Math.floor((vocabulary - 1) / 2);
  for (const [name, n] of Object.entries({ vocabulary, pairs, queries }))
    if (!Number.isSafeInteger(n) || n < 1)
      throw new ShapeError(`recall: got ${name} ${n}, expected a whole number of at least 1`);
  if (pairs > keys)
    throw new ShapeError(
      `recall: got ${pairs} pairs from a vocabulary of ${vocabulary}, expected at most ${keys}; use a vocabulary of ${2 * pairs + 1} or more`,
    );
  return rowSource(seed, {
    kind: "recall",
    sizes: `${pairs} pairs, ${queries} queries`,
    vocabulary,
    least: 2 * pairs + queries,
    needs: `${pairs} pairs and ${queries} queries; use a longer context or fewer pairs`,
    fill(random, ids, targets) {
      const chosen = draw(random, keys, pairs);
      const values = chosen.map(() => 1 + keys + random.integer(keys));
      for (let i = 0; i < pairs; i++) {
        ids[2 * i] = 1 + chosen[i]!;
        ids[2 * i + 1] = values[i]!;
      }
      const places = draw(random, ids.length - 2 * pairs, queries).sort((a, b) => a - b);
      let order: number[] = [];
      for (const place of places) {
        if (order.length === 0) order = draw(random, pairs, pairs);
        const asked = order.pop()!;
        ids[2 * pairs + place] = 1 + chosen[asked]!;
        targets[2 * pairs + place] = values[asked]!;
      }
    },
    word(id) {
      if (id === 0) return ".";
      return id <= keys ? `k${id}` : `v${id - keys}`;
    },
  });
}

/** `n` different numbers below `limit`, in random order (the first `n` steps of a Fisher-Yates shuffle). */
function draw(random: Random, limit: number, n: number): number[] {
  const swapped = new Map<number, number>();
  return Array.from({ length: n }, (_, i) => {
    const j = i + random.integer(limit - i);
    const drawn = swapped.get(j) ?? j;
    swapped.set(j, swapped.get(i) ?? i);
    return drawn;
  });
}
