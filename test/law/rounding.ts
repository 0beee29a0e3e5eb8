import { dataOf } from "../../src/device/float.ts";
import { conv } from "../../src/ops/conv/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { planOf } from "../../src/ops/einsum/plan.ts";
import { sizeOf, type TapeNode, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { deltaErrors } from "./recurrence.ts";

// How far one float32 op may be from its exact result: what the bound on a whole program is made of (see shaken.ts).
// A sum of K products, each rounded by at most u relative, and rounded again as it is added, errs by about
// u (sqrt(K) + 2) sum |a b|: K steps of random sign. (The worst case, u K sum |a b|, is never near; Higham and Mary,
// "A New Approach to Probabilistic Rounding Error Analysis", 2019.) Constants beside the roots pay for the few
// roundings of a formula, and for an exponential that is good to a few units in the last place.

/** Half the distance of 1 to the next float32: what one rounding may change, relative. */
export const unit = 2 ** -24;

/** Size of the error of each number of a result, or one for all. */
export type Errors = Float64Array | number;

/** Errors of the result of a recorded op. `scale` is the factor on attention scores. */
export function forwardErrors(node: TapeNode, scale: number): Errors {
  const { name, inputs, output } = node;
  const [a, b] = inputs;
  if (name.includes("->")) return contractionErrors(name, a!, b!);
  if (name.startsWith("multiply at")) return relative(1, output);
  switch (name) {
    case "reshape":
    case "gather":
    case "gatherRows":
    case "relu":
    case "previous":
      return 0;
    case "add":
    case "addBias":
    case "scaleBy":
    // Summed in float64, rounded once.
    case "accumulate":
      return relative(1, output);
    // An exponential or a polynomial good to 2 units in the last place, then a few roundings.
    case "exp":
      return relative(4, output);
    case "sigmoid":
    case "silu":
    case "softplus":
    case "logSigmoid":
    case "tanh":
      return relative(8, output);
    case "conv": {
      // As if all rows were one sequence: what a sequence does not see of the one before it only adds.
      const [bias, before] = [inputs[2], inputs[3]].map((t) => t && magnitude(t));
      const magnitudes = conv(magnitude(a!), magnitude(b!), { bias, before });
      return relative(Math.sqrt(width(b!) + 1) + 2, magnitudes);
    }
    case "rope":
      return 4 * unit * largest(a!);
    case "rmsNorm":
      return dataOf(output).map((x) => unit * (Math.sqrt(width(a!)) + 8) * Math.abs(x));
    case "gate":
      return dataOf(output).map((x, i) => unit * (16 + 2 * Math.abs(dataOf(a!)[i]!)) * Math.abs(x));
    case "crossEntropy":
      return unit * (Math.sqrt(width(a!)) + Math.sqrt(a!.shape[0]!) + 8) * (largest(a!) + Math.log(width(a!)));
    // Gaps of both rows, as large as their largest numbers, in a sum whose weights come to 1.
    case "divergence":
      return (
        unit * (Math.sqrt(width(a!)) + Math.sqrt(a!.shape[0]!) + 8) * (largest(a!) + largest(b!) + Math.log(width(a!)))
      );
    case "attend":
    case "stick": {
      const { values, weights } = attention(node, scale);
      const top = Math.max(...values.map(largest));
      return dataOf(output).map((_, i) => weights[Math.floor(i / width(output))]! * top);
    }
    case "delta":
      return deltaErrors(node, scale)[0]!;
    default:
      throw new Error(`rounding: op "${name}" has no bound yet; add one`);
  }
}

/** Errors of each input's gradient `found`, given that of the output. */
export function backwardErrors(
  node: TapeNode,
  g: Tensor,
  scale: number,
  found: readonly (Tensor | undefined)[],
): Errors[] {
  const { name, inputs, output } = node;
  const [a, b] = inputs;
  if (name.includes("->")) {
    const [specA, specB] = planOf(name, a!.shape, b!.shape).gradients;
    return [contractionErrors(specA, g, b!), contractionErrors(specB, g, a!)];
  }
  if (name.startsWith("multiply at")) return [relative(1, found[0]!), productErrors(node, g)];
  const top = largest(g);
  switch (name) {
    case "reshape":
    case "add":
    case "relu":
    case "previous":
      return [0, 0];
    case "exp":
    case "accumulate":
      return [relative(1, found[0]!)];
    // Rows are summed in float64.
    case "addBias":
      return [0, found[1] ? relative(1, found[1]) : 0];
    case "softplus":
    case "logSigmoid":
      return [relative(8, found[0]!)];
    // g y (1 - y) and g (1 - y^2): the difference is rounded once, or its square too. What y errs by is in y.
    case "sigmoid":
      return [dataOf(g).map((x, i) => 4 * unit * Math.abs(x * dataOf(output)[i]!))];
    case "tanh":
      return [relative(4, g)];
    case "silu":
      return [dataOf(g).map((x, i) => unit * 16 * Math.abs(x) * (1 + Math.abs(dataOf(a!)[i]!)))];
    case "conv": {
      const [bias, before] = [inputs[2], inputs[3]];
      const sum = Math.sqrt(a!.shape[0]!) + 2;
      // What x receives is a convolution from the last row back. Taps: Cauchy and Schwarz, along each channel.
      const dx = turned(conv(turned(magnitude(g)), magnitude(b!)));
      const [lengths, rows, earlier] = [columnNorms(g), columnNorms(a!), before && columnNorms(before)];
      const channel = (tap: number) => Math.floor(tap / width(b!));
      const inputsOf = (c: number) => Math.hypot(rows[c]!, earlier?.[c] ?? 0);
      return [
        relative(Math.sqrt(width(b!)) + 2, dx),
        dataOf(b!).map((_, i) => sum * unit * lengths[channel(i)]! * inputsOf(channel(i))),
        bias ? dataOf(bias).map((_, c) => sum * unit * lengths[c]! * Math.sqrt(a!.shape[0]!)) : 0,
        0,
      ];
    }
    case "scaleBy":
      return [unit * top];
    case "gather":
    case "gatherRows":
      return [unit * Math.sqrt(g.shape[0]!) * top * 2];
    case "rope":
      return [4 * unit * top];
    case "rmsNorm": {
      // dx = r (u - x r^2 mean(u x)): the difference may cancel, so its terms' sizes count, and r is 1 / rms of the worst row.
      const e = width(a!);
      const inverse = Math.max(...rowNorms(a!).map((norm) => 1 / Math.sqrt(norm ** 2 / e + 1e-6)));
      const gain = b ? largest(b) : 1;
      const steps = unit * (2 * Math.sqrt(e) + 16);
      const rows = a!.size / (b?.size ?? e);
      return [steps * inverse * gain * top * Math.sqrt(e), steps * Math.sqrt(rows * e) * top];
    }
    case "gate": {
      const size = unit * 16 * (1 + largest(a!)) * top;
      return [size * largest(b!), size * largest(a!)];
    }
    case "crossEntropy":
      return [unit * (Math.sqrt(width(a!)) + 8) * (largest(a!) + 2) * top];
    case "divergence":
      return [0, unit * (Math.sqrt(width(a!)) + 8) * (largest(a!) + largest(b!) + 4) * top];
    case "attend":
    case "stick": {
      // dS = P (g v - D) scale for a query. Its weights sum to 1 over the keys, so dq takes the error once; what a key or a
      // value receives is summed over all queries, with errors of random signs. A sink is a key whose score is not
      // scaled.
      const { queries, keys, values, sinks, weights, spread } = attention(node, scale);
      const longest = Math.hypot(...values.map((v) => Math.max(...rowNorms(v))));
      const steps = unit * Math.sqrt(width(g));
      const scores = rowNorms(g).map((norm, row) => scale * 2 * norm * longest * (weights[row]! + steps));
      return [
        ...queries.map((q, i) => {
          const key = Math.max(...rowNorms(keys[i]!));
          return dataOf(q).map((_, at) => scores[Math.floor(at / width(q))]! * spread(Math.floor(at / width(q))) * key);
        }),
        ...queries.map((q) =>
          Math.hypot(...rowNorms(q).map((norm, row) => norm * scores[row]! * Math.min(2, spread(row)))),
        ),
        ...values.map(() => top * Math.hypot(...weights)),
        ...sinks.map(() => Math.hypot(...scores) / scale),
      ];
    }
    case "delta":
      return deltaErrors(node, scale, g).slice(1);
    default:
      throw new Error(`rounding: the gradient of op "${name}" has no bound yet; add one`);
  }
}

/** `steps` roundings of each number of `t`. */
const relative = (steps: number, t: Tensor) => dataOf(t).map((x) => steps * unit * Math.abs(x));

/** What b receives of a product with a: for each number of b, u (sqrt(K) + 2) times the sum of |g a| over the K it met. */
function productErrors({ name, inputs: [a, b] }: TapeNode, g: Tensor): Errors {
  const axis = Number(name.split(" ").at(-1));
  const inner = sizeOf(a!.shape.slice(axis + b!.shape.length));
  const sums = new Float64Array(b!.size);
  for (const [i, x] of dataOf(a!).entries()) sums[Math.floor(i / inner) % b!.size]! += Math.abs(x * dataOf(g)[i]!);
  return sums.map((x) => unit * (Math.sqrt(a!.size / b!.size) + 2) * x);
}

/** u (sqrt(K) + 2) times the contraction of magnitudes. */
function contractionErrors(spec: string, a: Tensor, b: Tensor): Errors {
  const plan = planOf(spec, a.shape, b.shape);
  const length = plan.k.reduce((product, { size }) => product * size, 1);
  const magnitudes = dataOf(einsum(spec, magnitude(a), magnitude(b)));
  return magnitudes.map((x) => unit * (Math.sqrt(length) + 2) * x);
}

/**
 * An attend's operands, and for each query (row and head) the relative error of its weights. A score is at most
 * S = scale sum |q| |k| (Cauchy and Schwarz) and errs by u (sqrt(e) + 4) (S + 1); the exponential turns that into a relative
 * error; then come the sums over keys.
 *
 * With stick-breaking the weight of a key whose newer keys have sigmoids that sum to B errs by (1 + B) times a score's
 * error, and by some roundings per key; B times the weights sums to at most 1, since they fall as exp(-B). Of
 * dS = (P g v - sigmoid(z) R) scale the R errs alike for all keys, and is only used until 2^-22 of the stick is left: the
 * sigmoids, whose sum is `spread`, come to at most log 2^22 = 15.2 and the last one's, and to no more than the log of the
 * remainder says.
 */
function attention({ name, inputs, saved }: TapeNode, scale: number) {
  const sinks = (inputs as Tensor[]).filter((t) => t.shape.length === 1);
  const list = (inputs as Tensor[]).filter((t) => t.shape.length > 1);
  const stick = name === "stick";
  // Queries, as many keys, then one or two values.
  const terms = list.length % 2 ? (list.length - 1) / 2 : (list.length - 2) / 2;
  const [queries, keys, values] = [list.slice(0, terms), list.slice(terms, 2 * terms), list.slice(2 * terms)];
  const steps = Math.sqrt(queries.reduce((sum, q) => sum + width(q), 0)) + 4;
  const summing = (stick ? 3 : 1) * (Math.sqrt(keys[0]!.shape[0]!) + 8);
  const sink = Math.max(0, ...sinks.map(largest));
  const longest = keys.map((k) => Math.max(...rowNorms(k)));
  const norms = queries.map(rowNorms);
  const weights = norms[0]!.map((_, row) => {
    const score = norms.reduce((sum, list, i) => sum + scale * list[row]! * longest[i]!, sink);
    return unit * ((stick ? 2 : 1) * steps * (score + 1) + summing);
  });
  const left = stick ? dataOf(saved[0]!) : undefined;
  const spread = (row: number) => (left ? 1 + Math.min(16.2, -Math.log(left[row]!)) : 1);
  return { queries, keys, values, sinks, weights, spread };
}

const width = (t: Tensor) => t.shape.at(-1)!;
const largest = (t: Tensor) => dataOf(t).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
const magnitude = (t: Tensor) => tensor(t.device, t.shape, dataOf(t).map(Math.abs));

/** Euclidean length of each vector along the last axis. */
function rowNorms(t: Tensor): number[] {
  const e = width(t);
  return Array.from({ length: t.size / e }, (_, i) => Math.hypot(...dataOf(t).subarray(i * e, (i + 1) * e)));
}

/** Euclidean length of each column along axis 0. */
function columnNorms(t: Tensor): Float64Array {
  const squares = new Float64Array(t.size / t.shape[0]!);
  for (const [i, x] of dataOf(t).entries()) squares[i % squares.length]! += x ** 2;
  return squares.map(Math.sqrt);
}

/** The rows in reverse order. */
function turned(t: Tensor): Tensor {
  const n = t.shape[0]!;
  const rows = Array.from({ length: n }, (_, i) => Array.from(dataOf(t.rows(n - 1 - i, n - i))));
  return tensor(t.device, t.shape, rows.flat());
}
