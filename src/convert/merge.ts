import type { GroupedLayer } from "./grouped.ts";
import { fillMatrix, type Matrix, trace } from "./matrix.ts";
import { momentOf } from "./moment.ts";
import { allPairs, keepPairs } from "./partial.ts";
import { lengthsOf } from "./spectrum.ts";

/** Every `times` blocks of `width` rows as their mean, which is the one block nearest to all of them. */
function meanBlocks(rows: Matrix, width: number, times: number): Matrix {
  const { columns, values } = rows;
  return fillMatrix(rows.rows / times, columns, (i, j) => {
    const first = Math.floor(i / width) * times * width + (i % width);
    let sum = 0;
    for (let k = 0; k < times; k++) sum += values[(first + k * width) * columns + j]!;
    return sum / times;
  });
}

/**
 * Fewer groups, each with the mean key and value of those that it takes the place of: GQA from MHA as in Ainslie et al. (arXiv 2305.13245,
 * section 2.1). Positions stay, since a mean of turned keys is the turned mean. `groups` divides the layer's.
 */
export function mergeGroups(layer: GroupedLayer, groups: number): GroupedLayer {
  const { e, v, keyGroups, valueGroups } = layer;
  return {
    ...layer,
    keyGroups: groups,
    valueGroups: groups,
    key: meanBlocks(layer.key, e, keyGroups / groups),
    value: meanBlocks(layer.value, v, valueGroups / groups),
  };
}

/**
 * What merging holds of the squared length of keys and values on inputs of this second moment, by rank of what is merged, and at last, as
 * one more, what it leaves out.
 */
export function mergedLengths(layer: GroupedLayer, groups: number, moment: Matrix): Float64Array {
  const merged = mergeGroups(layer, groups);
  const lengthOf = (rows: Matrix, times = 1) => times * trace(momentOf(rows, moment));
  const all = lengthOf(layer.key) + lengthOf(layer.value);
  const [keys, values] = [layer.keyGroups / groups, layer.valueGroups / groups];
  const held = lengthOf(merged.key, keys) + lengthOf(merged.value, values);
  const own = lengthsOf(keepPairs(merged, allPairs(merged)), moment);
  return Float64Array.of(...own.map((x) => values * x), Math.max(0, all - held));
}
