import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../op.ts";

/** For each part plain rows of all sequences, one after the other (`[n, ...]`), and for each sequence its rows on pages of its own. */
export type StoreKernel = (
  from: readonly Tensor[],
  paged: readonly (readonly Tensor[])[],
  at: readonly number[],
  rows: readonly number[],
) => void;
/**
 * Fills `out` with rows of `paged`: those from `first` on where that is a number, else those that the tensor's whole numbers name;
 * zeros for a negative one, NaN beyond the rows.
 */
export type LoadKernel = (paged: Tensor, rows: number | Tensor, out: Tensor) => void;

const store = kernel("storePages", { writes: [1] });
const load = kernel("loadPages", { writes: [2] });

/**
 * Writes new rows of several sequences into their cached tensors: of `from[p]`, part p of all sequences one after the other, `rows[i]`
 * go to `paged[p][i]` from row `at[i]` on. They are rounded to its type: bfloat16 to nearest even; 8-bit with scale d = largest
 * magnitude / 127 and each number x / d to the nearest even whole one, all in float32.
 */
export function storePages(
  from: readonly Tensor[],
  paged: readonly (readonly Tensor[])[],
  at: readonly number[],
  rows: readonly number[],
): void {
  const [first] = from;
  if (first?.size) store(first.device)(from, paged, at, rows);
}

/**
 * Rows `from` to `to` of a tensor as one stretch of memory: a copy, in the device's own precision, where they lie on pages, else a
 * view (the tensor itself where all rows are asked for). Not recorded: what lies on pages has no gradient.
 * Throws ShapeError for rows that are not there.
 */
export function contiguous(x: Tensor, from = 0, to = x.shape[0]!): Tensor {
  if (!x.paging) return from === 0 && to === x.shape[0] ? x : x.rows(from, to);
  if (from < 0 || to < from || to > x.shape[0]!)
    throw new ShapeError(`contiguous: got rows ${from}..${to}, expected within 0..${x.shape[0]}`);
  const output = new Tensor(x.device, [to - from, ...x.shape.slice(1)]);
  load(x.device)(x, from, output);
  return output;
}

/** Rows of a tensor on pages by number, as `gatherRows` of ops/embed gives them, `[rows.size, ...]`. */
export function gatherPages(paged: Tensor, rows: Tensor): Tensor {
  const output = new Tensor(paged.device, [rows.size, ...paged.shape.slice(1)]);
  load(paged.device)(paged, rows, output);
  return output;
}
