import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { visiblePairs } from "../attend/index.ts";
import { addFlops } from "../flops.ts";
import { fused, kernel } from "../op.ts";
import { contiguous } from "../pages/index.ts";

/** What the indexer compares: q `[batch t, j, i]`, k `[batch s, i]` shared by its j heads, weights `[batch t, j]`. */
export interface Indexer {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly weights: Tensor;
}

/** How many keys a query keeps, and which it sees. */
export interface Selection {
  /** Factor on q . k, e.g. i^-0.5. */
  readonly scale: number;
  /** Keys per query. */
  readonly count: number;
  /** Sequences laid one after the other along axis 0; 1 unless given. */
  readonly batch?: number;
  /** The last query stands at the newest key, and no query sees a later one; true unless given. */
  readonly causal?: boolean;
}

/** The keys chosen: `rows` `[batch t, count]`, their positions in the sequence; `missing` `[batch t]`, entries of padding. */
export interface Selected {
  readonly rows: Tensor;
  readonly missing: Tensor;
}

/** All that a kernel needs; `heads` j of `width` i. */
export interface SelectCall extends Indexer {
  readonly batch: number;
  readonly t: number;
  readonly s: number;
  readonly heads: number;
  readonly width: number;
  readonly scale: number;
  readonly count: number;
  readonly causal: boolean;
}

export type SelectKernel = (call: SelectCall, selected: Selected) => void;

const launch = kernel("select", { writes: [1] });
/** For keys on pages, where a device reads them there. */
const launchPaged = fused("selectPaged", { writes: [1] });

/**
 * The lightning indexer's choice of keys: score(t, s) = sum over j of weights[t, j] relu(scale q[t, j] . k[s]), and for each
 * query the `count` visible keys of highest score, the lower position first where scores are equal. Query row i of t sees
 * key j if `j <= i + s - t` (causal). Positions ascend, with -1 in front where fewer keys are visible. No t x s matrix is
 * ever stored, and a choice has no gradient: no tape records it.
 * Source: DeepSeek-V3.2 (arXiv 2512.02556), section 2.1, equation 1. Throws ShapeError.
 */
export function select(indexer: Indexer, selection: Selection): Selected {
  const { device } = indexer.q;
  const paged = launchPaged(device);
  const call = checkCall(paged ? indexer : { ...indexer, k: contiguous(indexer.k) }, selection);
  const { batch, t, heads, width, count } = call;
  const found = { rows: new Tensor(device, [batch * t, count]), missing: new Tensor(device, [batch * t]) };
  (paged ?? launch(device))(call, found);
  // 2 j (i + 1) for each query and key that the mask lets through.
  addFlops(2 * heads * (width + 1) * batch * visiblePairs({ ...call, window: 0 }));
  return found;
}

function checkCall({ q, k, weights }: Indexer, { scale, count, batch = 1, causal = true }: Selection): SelectCall {
  const [rows = 0, heads = 0, width = 0] = q.shape;
  const keys = k.shape[0]!;
  if (q.shape.length !== 3) throw new ShapeError(`select: q got [${q.shape}], expected [batch t, heads, width]`);
  if (k.shape.length !== 2 || k.shape[1] !== width)
    throw new ShapeError(`select: k got [${k.shape}], expected [batch s, ${width}]`);
  if (weights.shape.length !== 2 || weights.shape[0] !== rows || weights.shape[1] !== heads)
    throw new ShapeError(`select: weights got [${weights.shape}], expected [${rows}, ${heads}]`);
  if (!(batch >= 1) || rows % batch || keys % batch)
    throw new ShapeError(`select: got ${rows} query and ${keys} key rows, expected multiples of the batch ${batch}`);
  if (!Number.isInteger(count) || count < 1)
    throw new ShapeError(`select: count got ${count}, expected a whole number of 1 or more`);
  return { q, k, weights, batch, t: rows / batch, s: keys / batch, heads, width, scale, count, causal };
}
