import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** Numbers of rows, from the host or on the device; table and numbers fall into `parts` equal parts that belong together. */
export interface Indices {
  readonly rows: Int32Array | Tensor;
  readonly count: number;
  readonly parts: number;
}

/** out[i] = table[rows[i]] within its part, rows of any width; zeros for a negative number, NaN beyond the table. */
export type GatherKernel = (table: Tensor, indices: Indices, out: Tensor) => void;
/** out[rows[i]] += g[i], in the order of i; numbers outside the table are left out. `out` holds the sum so far. */
export type ScatterKernel = (g: Tensor, indices: Indices, out: Tensor) => void;

const gatherKernel = kernel("gather", { writes: [2] });
const scatterKernel = kernel("scatter", { writes: [], updates: [2] });

/** Rows of `table` (`[n, ...]`) by number: embedding lookup, `[ids, ...]`. Throws ShapeError for a number outside the table. */
export function gather(table: Tensor, ids: Int32Array): Tensor {
  const n = table.shape[0]!;
  const bad = ids.find((id) => id < 0 || id >= n);
  if (bad !== undefined) throw new ShapeError(`gather: got row ${bad}, expected 0 to ${n - 1}`);
  return lookup("gather", table, { rows: ids, count: ids.length, parts: 1 });
}

/**
 * Rows of `table` (`[n, ...]`) whose numbers a kernel has found: `rows` holds whole numbers (exact up to 2^24), of any shape.
 * A negative one gives a row of zeros, one beyond the table a row of NaN. With `batch`, table and `rows` are as many parts of
 * equal length, and numbers count from the start of their own part. No gradient flows into `rows`, which must live until
 * that of the table is taken.
 * @returns `[rows.size, ...]`. Throws ShapeError.
 */
export function gatherRows(table: Tensor, rows: Tensor, { batch = 1 }: { readonly batch?: number } = {}): Tensor {
  const n = table.shape[0]!;
  if (!(batch >= 1) || n % batch || rows.size % batch)
    throw new ShapeError(`gatherRows: got ${rows.size} of ${n} rows, expected multiples of the batch ${batch}`);
  return lookup("gatherRows", table, { rows, count: rows.size, parts: batch });
}

/**
 * Adds row i of `x` to row `rows[i]` of `into`, in the order of i. `rows` `[n]` holds whole numbers that a kernel has found; a row
 * that `into` does not have is left out. Not recorded. Throws ShapeError.
 */
export function scatterAdd(x: Tensor, rows: Tensor, into: Tensor): void {
  const n = into.shape[0]!;
  if (x.shape[0] !== rows.size || x.size * n !== into.size * rows.size)
    throw new ShapeError(`scatterAdd: got [${x.shape}] for ${rows.size} rows of [${into.shape}]`);
  scatterKernel(into.device)(x, { rows, count: rows.size, parts: 1 }, into);
}

function lookup(name: string, table: Tensor, indices: Indices): Tensor {
  const { device } = table;
  const output = new Tensor(device, [indices.count, ...table.shape.slice(1)]);
  gatherKernel(device)(table, indices, output);
  return record({
    name,
    inputs: [table],
    output,
    saved: [],
    backward(g, _wanted, into) {
      const sum = into[0] ?? new Tensor(device, table.shape).write(new Float64Array(table.size));
      scatterKernel(device)(g, indices, sum);
      return [sum];
    },
  });
}
