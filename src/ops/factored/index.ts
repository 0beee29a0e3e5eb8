import { ShapeError } from "../../tensor/error.ts";
import { Tensor, tensor } from "../../tensor/tensor.ts";
import { reshape, scaleBy } from "../add/index.ts";
import { attend, type View, visiblePairs } from "../attend/index.ts";
import { einsum } from "../einsum/index.ts";
import { addFlops } from "../flops.ts";
import { fused, kernel, recorderOf } from "../op.ts";
import { contiguous } from "../pages/index.ts";
import { eachSequence } from "../sequence.ts";

/**
 * A query and the factors of its keys and values: q `[batch t, h, e]`; ak `[batch s, h, R]` and bk `[batch s, R, e]`;
 * av `[batch s, h, P]` and bv `[batch s, P, v]`. A factor without its first axis is the same for all tokens.
 */
export interface Factors {
  readonly q: Tensor;
  readonly ak: Tensor;
  readonly bk: Tensor;
  readonly av: Tensor;
  readonly bv: Tensor;
}

/** All that a kernel needs: key ranks R, value ranks P. */
export interface FactoredCall extends Factors {
  readonly batch: number;
  readonly t: number;
  readonly s: number;
  readonly h: number;
  readonly e: number;
  readonly v: number;
  readonly keyRank: number;
  readonly valueRank: number;
  readonly scale: number;
  /** What results are multiplied by. */
  readonly times: number;
  readonly causal: boolean;
  /** 0 means no window. */
  readonly window: number;
}

/** Fills `out` `[batch t, h, v]`; zeros for a query that sees nothing. */
export type FactoredKernel = (call: FactoredCall, out: Tensor) => void;

const launch = kernel("factored", { writes: [1] });
/** For factors on pages, where a device reads them there. */
const launchPaged = fused("factoredPaged", { writes: [1] });

/**
 * Softmax attention (masks as in `attend`) over keys and values given by their factors, the key of head h at s being
 * `sum_r ak[s,h,r] bk[s,r,:]` and its value `sum_p av[s,h,p] bv[s,p,:]`. Neither is ever built: with u = q_h . bk[s,r],
 * a score is `scale * sum_r ak[s,h,r] u[h,s,r]`, and the output sums `(weight av[s,h,p]) bv[s,p,:]`. On a tape, where many
 * queries share each key, keys and values are built and `attend` takes over, gradient included. Results are multiplied by `times`.
 * Source: Zhang et al., "Tensor Product Attention Is All You Need" (arXiv 2501.06425), sections 3.1 and 3.4.
 * @returns `[batch t, h, v]`. Throws ShapeError.
 */
export function attendFactored(factors: Factors, view: View, times = 1): Tensor {
  if (typeof view.batch === "object")
    return eachSequence(view.batch, (own) => {
      // A factor without a first axis of tokens is that of all sequences.
      const part = (x: Tensor) => (x.shape.length === 3 ? own(x) : x);
      const { ak, bk, av, bv } = factors;
      return attendFactored(
        { q: own(factors.q), ak: part(ak), bk: part(bk), av: part(av), bv: part(bv) },
        { ...view, batch: 1 },
        times,
      );
    });
  const { q } = factors;
  const paged = launchPaged(q.device);
  const at = (x: Tensor) => (paged ? x : contiguous(x));
  const [ak, bk, av, bv] = [at(factors.ak), at(factors.bk), at(factors.av), at(factors.bv)];
  const call = checkCall({ q, ak, bk, av, bv }, view, view.batch ?? 1, times);
  const { batch, t, s, h, e, v, keyRank, valueRank } = call;
  if (recorderOf([q, ak, bk, av, bv])) {
    const o = attend(product(av, bv, batch * s), view, [q, product(ak, bk, batch * s)]);
    return times === 1 ? o : scaleBy(o, times);
  }
  const output = new Tensor(q.device, [batch * t, h, v]);
  (paged ?? launch(q.device))(call, output);
  addFlops(2 * h * (keyRank * (e + 1) + valueRank * (v + 1)) * batch * visiblePairs(call));
  return output;
}

/** What two factors stand for, `[rows, h, e]`. */
function product(a: Tensor, b: Tensor, rows: number): Tensor {
  if (a.shape.length === 3) return einsum(`s h r, ${b.shape.length === 3 ? "s " : ""}r e -> s h e`, a, b);
  if (b.shape.length === 3) return einsum("h r, s r e -> s h e", a, b);
  const ones = tensor(a.device, [rows, 1], new Float64Array(rows).fill(1));
  return einsum("s h r, r e -> s h e", einsum("s u, u h r -> s h r", ones, reshape(a, [1, ...a.shape])), b);
}

function checkCall({ q, ak, bk, av, bv }: Factors, view: View, batch: number, times: number): FactoredCall {
  const other = (["start", "chosen", "sinks", "decay", "stick"] as const).find((name) => view[name]);
  if (other) throw new ShapeError(`attendFactored: got ${other} in the view, expected softmax over all visible keys`);
  const { window, scale, causal = true } = view;
  const [rows = 0, h = 0, e = 0] = q.shape;
  if (q.shape.length !== 3) throw new ShapeError(`attendFactored: q got [${q.shape}], expected [batch t, h, e]`);
  const keyRows = [ak, bk, av, bv].find(({ shape }) => shape.length === 3)?.shape[0];
  if (keyRows === undefined)
    throw new ShapeError("attendFactored: got four factors without tokens, expected one of three axes at least");
  if (!(batch >= 1) || rows % batch || keyRows % batch)
    throw new ShapeError(
      `attendFactored: got ${rows} query and ${keyRows} key rows, expected multiples of the batch ${batch}`,
    );
  if (window !== undefined && !(window >= 1))
    throw new ShapeError(`attendFactored: got window ${window}, expected 1 or more`);
  const [keyRank, valueRank, v] = [ak.shape.at(-1)!, av.shape.at(-1)!, bv.shape.at(-1)!];
  const expect = (what: string, { shape }: Tensor, last: readonly number[]) => {
    const wanted = shape.length === 2 ? last : [keyRows, ...last];
    if (shape.length !== wanted.length || shape.some((n, i) => n !== wanted[i]))
      throw new ShapeError(`attendFactored: ${what} got [${shape}], expected [${wanted}]`);
  };
  expect("ak", ak, [h, keyRank]);
  expect("bk", bk, [keyRank, e]);
  expect("av", av, [h, valueRank]);
  expect("bv", bv, [valueRank, v]);
  const lengths = { batch, t: rows / batch, s: keyRows / batch };
  return { q, ak, bk, av, bv, ...lengths, h, e, v, keyRank, valueRank, scale, times, causal, window: window ?? 0 };
}
