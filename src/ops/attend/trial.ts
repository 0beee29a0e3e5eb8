import { Random } from "../../tensor/random.ts";
import { type Device, sizeOf, Tensor, tensor } from "../../tensor/tensor.ts";
import type { AttendBackwardKernel, AttendCall, AttendKernel, Stick } from "./index.ts";

/** Sizes and options of a call. A value given as `key: i` is the very tensor of term i's key. */
export interface AttendSizes {
  readonly batch?: number;
  readonly t: number;
  readonly s: number;
  readonly h: number;
  readonly causal?: boolean;
  readonly window?: number;
  /** Per sequence. */
  readonly start?: readonly number[];
  readonly sinks?: boolean;
  readonly stick?: Stick;
  readonly terms: readonly { readonly e: number; readonly g: number }[];
  readonly values: readonly ({ readonly e: number; readonly g: number } | { readonly key: number })[];
}

/** One case with three uses: correctness, gradients, overrun and poisoned memory. Inputs are standard normal. */
export interface AttendCase extends AttendSizes {
  readonly name: string;
  /** Largest absolute error in float32 of each result: see `tolerance`. */
  readonly tolerance: Tolerance;
}

export interface Tolerance {
  readonly out: number;
  readonly lse: number;
  readonly dq: number;
  readonly dk: number;
  readonly dv: number;
  readonly dsinks: number;
}

/** What a kernel makes of a case: output, lse and the gradients per term, value and sink (none or one). */
export interface AttendResult {
  readonly out: ArrayLike<number>;
  readonly lse: ArrayLike<number>;
  readonly dq: readonly ArrayLike<number>[];
  readonly dk: readonly ArrayLike<number>[];
  readonly dv: readonly ArrayLike<number>[];
  readonly dsinks: readonly ArrayLike<number>[];
}

/** A case from its sizes. */
export function attendCase(name: string, sizes: AttendSizes): AttendCase {
  const { terms, values } = sizes;
  const [E, V] = [sum(terms.map(({ e }) => e)), sum(values.map((v) => widthOf(sizes, v)))];
  return { ...sizes, name, tolerance: tolerance(sizes, E, V) };
}

/**
 * Bounds on rounding, with u = 2^-24, for standard normal inputs. Elements, and products of rows of width n over sqrt(n), are
 * taken to be at most 4; rounding errors to be independent, so that n of them add up as sqrt(n) and a product of rows
 * of width n, whose partial sums grow as sqrt(k), is off by 4 u n.
 * A score is thus off by 4 u (sqrt(E) + 2) with scale = 1 / sqrt(E), and a weight, relatively, by w: twice that (score and
 * normaliser), 4e-7 (two exponentials) and 2 sqrt(s) u (the sum). Weights sum to 1: the output is off by 4 w + 4 sqrt(s) u.
 * A score's gradient is off by weight times x: w on two numbers of size sqrt(V), u V on each, and sqrt(V) times the error
 * of the output, through sum(g out). dq sums weight * x * key over weights that sum to 1. The weights that one key gets from all
 * queries sum to about t / s, plus log t for the first keys of a causal mask, times the h / g heads that share it: n, and
 * dk and dv to sqrt(n). A sink's gradient sums products of size sqrt(V), each with a weight, over all queries.
 *
 * With stick-breaking a weight errs with its own score, and with those of newer keys in the measure of their sigmoids:
 * these add up to 1 where the weights, falling as the exponential of that sum, are taken into account; and each key
 * adds some roundings. In a score's gradient sum(g out) comes times sigmoids that do not sum to 1, but to 16 at most,
 * after which too little of the stick is left: their keys are random, so dq takes the root, and a key gets as much from
 * all queries.
 */
function tolerance(sizes: AttendSizes, E: number, V: number): Tolerance {
  const { batch = 1, t, s, h, terms, values, stick } = sizes;
  const u = 2 ** -24;
  const score = 4 * u * (Math.sqrt(E) + 2);
  const w = stick ? 2 * (score + 4e-7) + 6 * Math.sqrt(s) * u : 2 * score + 4e-7 + 2 * Math.sqrt(s) * u;
  const out = 4 * w + 4 * Math.sqrt(s) * u;
  const x = E ** -0.5 * (2 * Math.sqrt(V) * w + 2 * u * V + Math.sqrt(V) * out);
  const groups = Math.min(...[...terms, ...values].map((k) => ("g" in k ? k.g : terms[k.key]!.g)));
  const shared = Math.sqrt((h / groups) * (t / s + Math.log(t) + 1 + (stick ? 16 * Math.max(1, t / s) : 0)));
  const lse = stick ? w : score + 4e-7 + 2 * u * Math.log(s + 1);
  const dsinks = 4 * Math.sqrt(batch * t * E) * x;
  return { out, lse, dq: (stick ? 20 : 4) * x, dk: 4 * shared * x, dv: 4 * shared * (w + shared * u), dsinks };
}

/** Runs a case on a device: inputs from `seed`, of each number what `of` makes of it, every result read back. */
export async function runCase(
  device: Device,
  sizes: AttendSizes,
  seed: number,
  [forward, backward]: readonly [AttendKernel, AttendBackwardKernel],
  of: (x: number) => number = (x) => x,
): Promise<AttendResult> {
  const random = new Random(seed);
  const input = (shape: number[]) => tensor(device, shape, Float32Array.from(random.normals(sizeOf(shape)), of));
  const { batch = 1, t, s, h } = sizes;
  const terms = sizes.terms.map(({ e, g }) => ({ q: input([batch * t, h, e]), k: input([batch * s, g, e]), e, g }));
  const values = sizes.values.map((v) => {
    if (!("key" in v)) return { v: input([batch * s, v.g, v.e]), e: v.e, g: v.g };
    const { k, e, g } = terms[v.key]!;
    return { v: k, e, g };
  });
  const scale = sum(terms.map(({ e }) => e)) ** -0.5;
  const { causal = true, window = 0, stick } = sizes;
  const start = sizes.start && tensor(device, [batch], sizes.start.slice(0, batch));
  const sinks = sizes.sinks ? input([h]) : undefined;
  const call: AttendCall = { batch, t, s, h, scale, causal, window, start, sinks, stick, terms, values };
  const width = sum(values.map(({ e }) => e));
  const out = new Tensor(device, [batch * t, h, width]);
  const lse = new Tensor(device, [batch * t, h]);
  const g = input([batch * t, h, width]);
  const like = (x: Tensor) => new Tensor(device, x.shape);
  const dq = terms.map(({ q }) => like(q));
  const dk = terms.map(({ k }) => like(k));
  const dv = values.map(({ v }) => like(v));
  const dsinks = sinks && like(sinks);
  forward(call, out, lse);
  backward(call, out, lse, g, { dq, dk, dv, dsinks });
  const read = (list: Tensor[]) => Promise.all(list.map((x) => x.read()));
  const result = {
    out: await out.read(),
    lse: await lse.read(),
    dq: await read(dq),
    dk: await read(dk),
    dv: await read(dv),
    dsinks: await read(dsinks ? [dsinks] : []),
  };
  // Freeing is where a device that guards its blocks says that a kernel wrote past their end.
  for (const x of [
    out,
    lse,
    g,
    ...dq,
    ...dk,
    ...dv,
    ...terms.flatMap(({ q, k }) => [q, k]),
    ...values.map(({ v }) => v),
    start,
    sinks,
    dsinks,
  ])
    x?.free();
  return result;
}

function widthOf(sizes: AttendSizes, v: AttendSizes["values"][number]): number {
  return "key" in v ? sizes.terms[v.key]!.e : v.e;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
