import { FormatError } from "../tensor/error.ts";
import { multiplyTransposed } from "./double.ts";
import { type GroupedLayer, groupOf, pairRow, repeatKeys } from "./grouped.ts";
import { type LatentLayer, projectLatent } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import { foldBiases, keepPairs } from "./partial.ts";
import { type Factoring, factorWeights } from "./reduce.ts";
import { rankPairs, type Selection, selectPairs, selectRanked } from "./select.ts";

/** MHA2MLA's own settings (JT-Ushio/MHA2MLA, src/mha2mla/arguments.py). */
export interface Mha2mla {
  readonly selection: Selection;
  /** Dims of each key head that stay turned. */
  readonly ropeDims: number;
  /** Where evenly spread ones start. */
  readonly start?: number | undefined;
  /** Ranks of pairs `[heads, pairs]` by falling weight, for `2-norm`. */
  readonly ranks?: ArrayLike<number> | undefined;
  readonly factoring: Factoring;
  /** Rank for each group of values; the latent's, or each half's, is so many times the groups. */
  readonly rank: number;
  /** Keys are given to every head before anything else is done. */
  readonly perHead?: boolean | undefined;
}

/** A conversion by MHA2MLA: the layer, and which rows of the projections stay turned, in the order that it has them. */
export interface Kept {
  readonly layer: LatentLayer;
  readonly queryRows: readonly number[];
  readonly keyRows: readonly number[];
}

/**
 * Grouped heads to MLA by MHA2MLA (arXiv 2502.14837): some pairs of each key head keep their rotation, and a singular value
 * decomposition of the other keys and the values gives the latent. The turned keys stay one for each group: side by side they
 * are the one rotary key of an MLA whose queries are zero in the places of other groups. Throws FormatError.
 */
export function convertMha2mla(given: GroupedLayer, how: Mha2mla): Kept {
  const layer = how.perHead ? repeatKeys(given) : given;
  const { h, e, r, keyGroups, valueGroups } = layer;
  const kept = keptPairs(layer, how);
  // No bias is factored: those of keys do not count, those of values are added to the output.
  const whole = foldBiases(keepPairs(layer, kept));
  const still = (e - r + (r - 2 * (kept[0]?.length ?? 0))) * keyGroups;
  const basis =
    how.factoring === "none"
      ? undefined
      : factorWeights(whole.latent, still, how.rank * valueGroups, still ? how.factoring : alone(how.factoring));
  const rows = (head: number) => {
    const pairs = kept[groupOf(head, h, keyGroups)]!;
    return [...pairs.map((i) => pairRow(layer, i, 0)), ...pairs.map((i) => pairRow(layer, i, 1))];
  };
  const order = (of: number, heads: (block: number) => number) =>
    Array.from({ length: of }, (_, block) => rows(heads(block)).map((row) => block * e + row)).flat();
  return {
    layer: basis ? projectLatent(whole, basis) : whole,
    queryRows: order(h, (head) => head),
    keyRows: order(keyGroups, (group) => Math.ceil((group * h) / keyGroups)),
  };
}

/** Without keys in the latent, what is done to values alone. */
const alone = (how: Factoring): Factoring => (how === "only_key" ? "none" : "joint");

function keptPairs({ r, keyGroups }: GroupedLayer, how: Mha2mla): readonly (readonly number[])[] {
  const [pairs, count] = [r / 2, how.ropeDims / 2];
  if (!Number.isInteger(count))
    throw new FormatError(`rotary dims: got ${how.ropeDims} to keep, expected an even number; they come in pairs`);
  if (how.selection !== "2-norm")
    return Array.from({ length: keyGroups }, () => selectPairs(how.selection as "high", pairs, count, how.start));
  if (how.ranks?.length !== keyGroups * pairs)
    throw new FormatError(
      `2-norm: got ${how.ranks?.length ?? "no"} ranks, expected ${keyGroups} heads of ${pairs} pairs; give text to take them from`,
    );
  return selectRanked(how.ranks, keyGroups, count);
}

/** Sums over tokens of the lengths of each head's pairs, `[h, r / 2]` of queries and `[groups, r / 2]` of keys. */
export class PairLengths {
  readonly #layer: GroupedLayer;
  readonly #queries: Float64Array;
  readonly #keys: Float64Array;

  constructor(layer: GroupedLayer) {
    this.#layer = layer;
    this.#queries = new Float64Array(layer.h * (layer.r / 2));
    this.#keys = new Float64Array(layer.keyGroups * (layer.r / 2));
  }

  /** Counts the tokens whose layer inputs these are, `[tokens, d + 1]`. */
  add(inputs: Matrix): void {
    const { query, key } = this.#layer;
    this.#count(multiplyTransposed(inputs, query), this.#queries);
    this.#count(multiplyTransposed(inputs, key), this.#keys);
  }

  #count(rows: Matrix, into: Float64Array): void {
    const { e, r } = this.#layer;
    for (let t = 0; t < rows.rows; t++)
      for (let at = 0; at < into.length; at++) {
        const [head, i] = [Math.floor(at / (r / 2)), at % (r / 2)];
        const number = (second: 0 | 1) => rows.values[t * rows.columns + head * e + pairRow(this.#layer, i, second)]!;
        into[at]! += Math.hypot(number(0), number(1));
      }
  }

  /**
   * Ranks of the pairs of each key head by MHA2MLA's 2-norm: the mean length of a head's queries times that of its keys, summed over
   * the heads of a group (JT-Ushio/MHA2MLA, src/mha2mla/2_norm.py).
   */
  rank(): Int32Array {
    const { h, r, keyGroups } = this.#layer;
    const pairs = r / 2;
    const weights = new Float64Array(this.#keys.length);
    for (let head = 0; head < h; head++) {
      const group = groupOf(head, h, keyGroups);
      for (let i = 0; i < pairs; i++)
        weights[group * pairs + i]! += this.#queries[head * pairs + i]! * this.#keys[group * pairs + i]!;
    }
    return rankPairs(weights, keyGroups);
  }
}
