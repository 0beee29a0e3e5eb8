import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { addFlops } from "../flops.ts";
import { kernel, record, recorderOf } from "../op.ts";
import { type Batch, ownsOf } from "../sequence.ts";
import { decayTerm } from "./decay.ts";

/** What each query sees, and how scores are scaled. */
export interface View {
  /** Factor on the summed scores, e.g. (n + r)^-0.5. */
  readonly scale: number;
  /**
   * Sequences laid one after the other along axis 0 of queries and keys; 1 unless given. Of several that differ in length, query rows
   * of each, and keys and values are what each of their caches holds.
   */
  readonly batch?: Batch | undefined;
  /** The last query stands at the newest key, and no query sees a later one; true unless given. */
  readonly causal?: boolean | undefined;
  /** Only this many newest keys, the query's own included; all unless given. */
  readonly window?: number | undefined;
  /** `[batch]`, whole numbers: the first key row that any query of a sequence sees (left padding); 0 unless given. */
  readonly start?: Tensor | undefined;
  /**
   * `[batch t, m]`, whole numbers: the only keys a query sees, by their rows within its sequence, ascending, with -1 in front where
   * there are fewer (`ops/select` gives them so). Those that causality, the window or `start` hide stay hidden.
   */
  readonly chosen?: Tensor | undefined;
  /** `[h]`: logit of a key without a value that every query of a head sees beside the others. Not scaled. */
  readonly sinks?: Tensor | undefined;
  /** `[batch s, h]`: running sums of the logarithms of forget gates (decay.ts); a key fades by all gates after its own. */
  readonly decay?: Tensor | undefined;
  /** Weights by stick-breaking instead of softmax. */
  readonly stick?: Stick | undefined;
  /**
   * `[batch t, h]`, to be filled: the log of the summed exponentials of what a query sees, -Infinity over nothing, so that `merge`
   * can put results over some of the keys together. Where no gradient is wanted.
   */
  readonly lse?: Tensor | undefined;
}

/**
 * Stick-breaking weights, with z the scaled score: each key, from the newest visible one back, takes sigmoid(z) of what
 * the newer ones left. Source: Tan et al., "Stick-breaking Attention" (arXiv 2410.17980).
 */
export interface Stick {
  /** Whether a query sees its own key, or strictly older ones only. */
  readonly current: boolean;
  /** Whether what all visible keys left goes to the query's own value row (nowhere if that lies before `start`). */
  readonly remainder: boolean;
}

/** A query and the key it is compared with: `[batch t, h, e]` and `[batch s, g, e]`, or `[batch s, e]` shared by all heads. */
export type Term = readonly [query: Tensor, key: Tensor];

/** All that a kernel needs. Shapes: q `[b t, h, e]`, k and v `[b s, g, e]`, out `[b t, h, sum of v]`, lse `[b t, h]`. */
export interface AttendCall {
  readonly batch: number;
  readonly t: number;
  readonly s: number;
  readonly h: number;
  readonly scale: number;
  readonly causal: boolean;
  /** 0 means no window. */
  readonly window: number;
  readonly start?: Tensor | undefined;
  readonly chosen?: Tensor | undefined;
  readonly sinks?: Tensor | undefined;
  readonly stick?: Stick | undefined;
  readonly terms: readonly { readonly q: Tensor; readonly k: Tensor; readonly e: number; readonly g: number }[];
  readonly values: readonly { readonly v: Tensor; readonly e: number; readonly g: number }[];
}

/**
 * Fills `out`, and `lse` if given: the log of the summed exponentials of the scaled scores and the sink, -Infinity over
 * nothing. With stick-breaking it is the remainder instead: the product of 1 - sigmoid(z) over the visible keys.
 */
export type AttendKernel = (call: AttendCall, out: Tensor, lse: Tensor | undefined) => void;

/** Fills dq and dk per term, dv per value and dsinks, given the output's gradient `g`; an absent one is not wanted. */
export type AttendBackwardKernel = (
  call: AttendCall,
  out: Tensor,
  lse: Tensor,
  g: Tensor,
  grads: {
    readonly dq: readonly (Tensor | undefined)[];
    readonly dk: readonly (Tensor | undefined)[];
    readonly dv: readonly (Tensor | undefined)[];
    readonly dsinks?: Tensor | undefined;
  },
) => void;

/** The same for several calls, `outs` an output for each. */
export type AttendEachKernel = (calls: readonly AttendCall[], outs: readonly Tensor[]) => void;

const forward = kernel("attend", { writes: [1, 2] });
const forwardEach = kernel("attendEach", { writes: [1] });
const backward = kernel("attendBackward", { writes: [4] });

/**
 * Attention, by softmax or stick-breaking, whose score is a sum of terms, `scale * sum_i q_i k_i`; a term's key, and
 * each value, is per head, per group of heads, or shared by all. A value may be the very tensor of a key: it is then
 * read once (MLA absorbed, K = V). Several values are laid side by side in the result. No t x s matrix is ever stored.
 * @returns `[batch t, h, sum of value widths]`; zeros for a query that sees nothing, but for the remainder of
 * stick-breaking: with nothing seen that is 1. Throws ShapeError.
 */
export function attend(values: Tensor | readonly Tensor[], view: View, ...given: readonly Term[]): Tensor {
  const list: readonly Tensor[] = values instanceof Tensor ? [values] : values;
  if (typeof view.batch === "object") return attendEach(list, view, view.batch, given);
  const batch = view.batch ?? 1;
  const plain = checkCall(list, view, given, batch);
  const terms = view.decay ? [...given, gateTerm(plain, view.decay)] : given;
  const call = view.decay ? checkCall(list, view, terms, batch) : plain;
  const width = call.values.reduce((sum, v) => sum + v.e, 0);
  const { device } = terms[0]![0];
  const queries = terms.map(([q]) => q);
  const keys = terms.map(([, k]) => k);
  const inputs = [...queries, ...keys, ...list, ...(call.sinks ? [call.sinks] : [])];
  const output = new Tensor(device, [call.batch * call.t, call.h, width]);
  const recorder = recorderOf(inputs);
  if (recorder && view.lse)
    throw new ShapeError("attend: got lse to fill on a tape, expected no gradient; leave it out");
  const lse = recorder ? new Tensor(device, [call.batch * call.t, call.h]) : view.lse;
  forward(device)(call, output, lse);
  const flops = flopsOf(call, view.decay !== undefined);
  addFlops(flops);
  if (!recorder || !lse) return output;
  return record({
    name: call.stick ? "stick" : "attend",
    inputs,
    output,
    saved: [lse],
    backward(g, wanted) {
      const grads = inputs.map((t, i) => (wanted[i] ? new Tensor(device, t.shape) : undefined));
      const n = terms.length;
      backward(device)(call, output, lse, g, {
        dq: grads.slice(0, n),
        dk: grads.slice(n, 2 * n),
        dv: grads.slice(2 * n, 2 * n + list.length),
        dsinks: grads[2 * n + list.length],
      });
      // Each product of the way forward has two in its gradient.
      addFlops(2 * flops);
      return grads;
    },
  });
}

/** The same for sequences that differ in length: each over its own keys. */
function attendEach(values: readonly Tensor[], view: View, rows: readonly number[], terms: readonly Term[]): Tensor {
  const other = (["start", "chosen", "lse"] as const).find((name) => view[name]);
  if (other) throw new ShapeError(`attend: got ${other} for sequences that differ in length, expected one sequence`);
  const calls = ownsOf(rows).map((own) => {
    const list = values.map((v) => own(v));
    const given = terms.map(([q, k]): Term => [own(q), own(k)]);
    const plain = checkCall(list, view, given, 1);
    const decay = own(view.decay);
    return decay ? checkCall(list, view, [...given, gateTerm(plain, decay)], 1) : plain;
  });
  const [{ h, values: parts }] = calls as [AttendCall];
  const all = rows.reduce((sum, n) => sum + n, 0);
  const output = new Tensor(terms[0]![0].device, [all, h, parts.reduce((sum, { e }) => sum + e, 0)]);
  let row = 0;
  const outs = rows.map((n) => {
    row += n;
    return output.rows(row - n, row);
  });
  forwardEach(output.device)(calls, outs);
  for (const call of calls) addFlops(flopsOf(call, view.decay !== undefined));
  return output;
}

/** The term that forget gates are. */
function gateTerm({ terms, scale }: AttendCall, decay: Tensor): Term {
  return decayTerm(decay, scale, Math.max(...terms.map(({ g }) => g)), terms[0]!.q);
}

/** Arithmetic of a call, of whose terms the last stands for gates where it has some. */
function flopsOf(call: AttendCall, gated: boolean): number {
  const { batch, t, s, h, chosen, terms, values } = call;
  // A query's own pair counts even where stick-breaking passes over it, so that a cost needs one number of pairs.
  const seen = chosen ? t * Math.min(chosen.shape[1]!, s) : visiblePairs({ ...call, stick: undefined });
  // A gate is one more addition per pair, whatever the width of the term that brings it. Keys that `start` hides are counted
  // too: it lies in the device's memory, which is not read here.
  const plain = gated ? terms.slice(0, -1) : terms;
  const width = values.reduce((sum, v) => sum + v.e, 0) + plain.reduce((sum, term) => sum + term.e, gated ? 1 : 0);
  return 2 * batch * h * seen * width;
}

/** Number of (query, key) pairs of one head and sequence that causality and the window let through. */
export function visiblePairs(call: Pick<AttendCall, "t" | "s" | "causal" | "window" | "stick">): number {
  let pairs = 0;
  const newest = call.stick?.current === false ? 0 : 1;
  for (let i = 0; i < call.t; i++) {
    const end = call.causal ? Math.max(0, Math.min(call.s, i + call.s - call.t + newest)) : call.s;
    const start = call.window ? Math.max(0, i + call.s - call.t + 1 - call.window) : 0;
    pairs += Math.max(0, end - start);
  }
  return pairs;
}

function checkCall(values: readonly Tensor[], view: View, terms: readonly Term[], batch: number): AttendCall {
  const first = terms[0];
  if (!first || !values[0] || terms.length > 4 || values.length > 2)
    throw new ShapeError(`attend: got ${terms.length} terms and ${values.length} values, expected 1 to 4 and 1 to 2`);
  const [rows = 0, h = 0] = first[0].shape;
  const keyRows = first[1].shape[0]!;
  if (rows % batch || keyRows % batch)
    throw new ShapeError(`attend: got ${rows} query and ${keyRows} key rows, expected multiples of the batch ${batch}`);
  if (view.window !== undefined && !(view.window >= 1))
    throw new ShapeError(`attend: got window ${view.window}, expected 1 or more`);
  const { start, chosen, sinks, stick, lse } = view;
  if (lse && (stick || `${lse.shape}` !== `${[rows, h]}`))
    throw new ShapeError(
      `attend: lse got [${lse.shape}]${stick ? " with stick-breaking" : ""}, expected [${rows},${h}] and softmax`,
    );
  if (chosen && (chosen.shape.length !== 2 || chosen.shape[0] !== rows || stick))
    throw new ShapeError(
      `attend: chosen got [${chosen.shape}]${stick ? " with stick-breaking" : ""}, expected [${rows}, keys] and softmax`,
    );
  if (start && (start.shape.length !== 1 || start.size !== batch))
    throw new ShapeError(`attend: start got [${start.shape}], expected [${batch}]`);
  if (sinks && (sinks.shape.length !== 1 || sinks.size !== h))
    throw new ShapeError(`attend: sinks got [${sinks.shape}], expected [${h}]`);
  if (stick && (sinks || view.causal === false))
    throw new ShapeError(
      `attend: stick-breaking got ${sinks ? "sinks" : "causal: false"}, expected neither sinks nor later keys`,
    );
  const groups = (x: Tensor, what: string) => {
    const g = x.shape.length === 2 ? 1 : x.shape.length === 3 ? x.shape[1]! : 0;
    if (x.shape[0] !== keyRows || g === 0 || h % g)
      throw new ShapeError(`attend: ${what} got [${x.shape}], expected [${keyRows}, groups dividing ${h}, width]`);
    return g;
  };
  return {
    batch,
    t: rows / batch,
    s: keyRows / batch,
    h,
    scale: view.scale,
    causal: view.causal ?? true,
    window: view.window ?? 0,
    start,
    chosen,
    sinks,
    stick,
    terms: terms.map(([q, k]) => {
      const e = k.shape.at(-1)!;
      if (q.shape.length !== 3 || q.shape[0] !== rows || q.shape[1] !== h || q.shape[2] !== e)
        throw new ShapeError(
          `attend: query got [${q.shape}], expected [${rows}, ${h}, ${e}] to meet its key [${k.shape}]`,
        );
      return { q, k, e, g: groups(k, "key") };
    }),
    values: values.map((v) => ({ v, e: v.shape.at(-1)!, g: groups(v, "value") })),
  };
}
