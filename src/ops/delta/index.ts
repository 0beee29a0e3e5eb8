import { ShapeError } from "../../tensor/error.ts";
import { sizeOf, Tensor } from "../../tensor/tensor.ts";
import { addFlops } from "../flops.ts";
import { kernel, record, recorderOf } from "../op.ts";
import { type Batch, eachSequence } from "../sequence.ts";
import { CHUNK } from "./chunk.ts";

/** What the rule reads per token: q and k `[batch t, g, n]`, v `[batch t, h, v]`, beta `[batch t, h]`. */
export interface Rule {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** How much of what the state holds for a key is replaced, usually in 0..1. */
  readonly beta: Tensor;
  /** LOG of the decay, <= 0: per channel `[batch t, h, n]` (KDA) or head `[batch t, h]` (gated delta net), or none. */
  readonly decay?: Tensor | undefined;
}

/** Where a sequence starts and ends, and in which order it is computed. */
export interface Course {
  /** Factor on the output, e.g. n^-0.5. */
  readonly scale: number;
  /** Sequences laid one after the other along axis 0; 1 unless given. */
  readonly batch?: Batch;
  /**
   * The state before the first token, `[batch, h, n, v]`, or `[h, n, v]` of one sequence or of each of several; zeros unless given.
   * No gradient flows to it.
   */
  readonly state?: Tensor | undefined;
  /** Receives the state after the last token, of the same shape; may be `state` itself. No gradient flows from it. */
  readonly final?: Tensor | undefined;
  /** `recurrent`: token by token, for decoding. `chunked`: by products of matrices, for many tokens. */
  readonly by: "recurrent" | "chunked";
}

/** All that a kernel needs. Value head i of h reads key head floor(i g / h). */
export interface DeltaCall extends Rule {
  readonly batch: number;
  readonly t: number;
  readonly g: number;
  readonly h: number;
  readonly n: number;
  /** Width of a value: v stands for the tensor. */
  readonly width: number;
  readonly scale: number;
  readonly by: "recurrent" | "chunked";
  readonly state: Tensor | undefined;
}

/** Fills `out` `[batch t, h, v]`, and if given `final` and `states` `[batch, h, chunks, n, v]` (before each chunk). */
export type DeltaKernel = (call: DeltaCall, out: Tensor, final: Tensor | undefined, states: Tensor | undefined) => void;

/** Where gradients go: of the inputs that want one. */
export type RuleGradients = { readonly [K in keyof Rule]?: Tensor | undefined };

/** Fills the gradients of the inputs, given that of the output. */
export type DeltaBackwardKernel = (call: DeltaCall, states: Tensor, g: Tensor, grads: RuleGradients) => void;

const forward = kernel("delta", { writes: [1, 3], updates: [2] });
const backward = kernel("deltaBackward", { writes: [3] });

/**
 * Arithmetic of one token and value head: decay n v, S^T k 2 n v, the update 2 n v, S^T q 2 n v. By convention of the
 * field it stands for either algorithm; README.md says what the chunked one does beside it.
 */
export function deltaFlops(n: number, v: number): number {
  return 7 * n * v;
}

/**
 * The gated delta rule: linear attention with a state S `[n, v]` per value head. Per token
 * `S <- Diag(exp(decay)) S; u = beta (v - S^T k); S <- S + k u^T; out = scale S^T q`: decay first, then the correction.
 * Sources: Yang et al., arXiv 2406.06484 (delta rule), arXiv 2412.06464 (decay per head); Kimi Linear, arXiv 2510.26692
 * (decay per channel).
 * @returns `[batch t, h, v]`. Throws ShapeError for shapes that do not fit and for a `state` on a tape.
 */
export function delta(rule: Rule, course: Course): Tensor {
  const { batch: sequences } = course;
  if (typeof sequences === "object")
    return eachSequence(sequences, (own) => {
      const [q, k, v, beta, decay] = [rule.q, rule.k, rule.v, rule.beta, rule.decay].map((x) => own(x));
      const part = { q: q!, k: k!, v: v!, beta: beta!, decay };
      return delta(part, { ...course, batch: 1, state: own(course.state), final: own(course.final) });
    });
  const final = wholeState(course.final);
  const call = checkCall(rule, { ...course, state: wholeState(course.state), final }, sequences ?? 1);
  const { q, k, v, beta, decay } = rule;
  const { batch, t, h, n, width } = call;
  const { device } = q;
  const inputs = [q, k, v, beta, decay];
  const output = new Tensor(device, [batch * t, h, width]);
  const chunks = Math.ceil(t / CHUNK);
  const states = recorderOf(inputs) ? new Tensor(device, [batch, h, chunks, n, width]) : undefined;
  forward(device)(call, output, final, states);
  const flops = batch * t * h * deltaFlops(n, width);
  addFlops(flops);
  if (!states) return output;
  return record({
    name: "delta",
    inputs,
    output,
    saved: [states],
    backward(g, wanted) {
      const grads = inputs.map((x, i) => (x && wanted[i] ? new Tensor(device, x.shape) : undefined));
      const [dq, dk, dv, dbeta, ddecay] = grads;
      backward(device)(call, states, g, {
        q: dq,
        k: dk,
        v: dv,
        beta: dbeta,
        decay: ddecay,
      });
      addFlops(2 * flops);
      return grads;
    },
  });
}

/** `[batch, h, n, v]` of a state, which one sequence gives without the first axis. */
const wholeState = (state: Tensor | undefined) =>
  state?.shape.length === 3 ? state.reshape([1, ...state.shape]) : state;

function checkCall({ q, k, v, beta, decay }: Rule, { scale, by, state, final }: Course, batch: number): DeltaCall {
  const [rows = 0, h = 0, width = 0] = v.shape;
  const [, g = 0, n = 0] = q.shape;
  const expect = (name: string, x: Tensor, ...shapes: number[][]) => {
    if (!shapes.some((shape) => shape.length === x.shape.length && shape.every((size, i) => size === x.shape[i])))
      throw new ShapeError(`delta: ${name} got [${x.shape}], expected ${shapes.map((s) => `[${s}]`).join(" or ")}`);
  };
  if (v.shape.length !== 3 || sizeOf([h, width]) === 0)
    throw new ShapeError(`delta: v got [${v.shape}], expected [batch t, heads, width]`);
  if (q.shape.length !== 3 || sizeOf([g, n]) === 0 || h % g)
    throw new ShapeError(`delta: q got [${q.shape}], expected [${rows}, heads dividing ${h}, width]`);
  if (!Number.isInteger(batch) || batch < 1 || rows % batch)
    throw new ShapeError(`delta: got ${rows} rows, expected a multiple of the batch ${batch}`);
  expect("q", q, [rows, g, n]);
  expect("k", k, [rows, g, n]);
  expect("beta", beta, [rows, h]);
  if (decay) expect("decay", decay, [rows, h, n], [rows, h]);
  for (const [name, x] of Object.entries({ state, final })) {
    if (x) expect(name, x, [batch, h, n, width]);
    if (x?.recorder) throw new ShapeError(`delta: ${name} got a tensor on a tape, expected one without gradient`);
  }
  return { q, k, v, beta, decay, batch, t: rows / batch, g, h, n, width, scale, by, state };
}
