import { dataOf } from "../../src/device/float.ts";
import { CHUNK } from "../../src/ops/delta/chunk.ts";
import { Random } from "../../src/tensor/random.ts";
import type { TapeNode, Tensor } from "../../src/tensor/tensor.ts";

// How far float32 may take the delta rule: it runs token by token in float64, each step moved at random by its own
// rounding, which the rule then carries on as it carries everything (as shaken.ts does with whole programs). Both
// algorithms make the same corrections u from sums over the same terms, so one size of rounding serves both: u times
// roots of the numbers of terms times the sum of magnitudes, in which M stands for the state with nothing cancelled (M
// <- e M + |k| |u|^T), and N for the gradient of the state likewise.

const unit = 2 ** -24;
const RUNS = 4;

/** Numbers of one run: output, then gradients of q, k, v, beta and decay. */
type Results = readonly Float64Array[];

/** Errors of the output, then of the gradients of q, k, v, beta, decay (0 without `g`, the output's gradient). */
export function deltaErrors(node: TapeNode, scale: number, g?: Tensor): Float64Array[] {
  const exact = ruled(node, scale, g, () => 0);
  const squares = exact.map((x) => x.map((y) => RUNS * (unit * y) ** 2));
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = new Random(seed);
    const moved = ruled(node, scale, g, (size) => unit * size * (2 * random.uniform() - 1));
    squares.forEach((list, i) => {
      for (let j = 0; j < list.length; j++) list[j]! += (moved[i]![j]! - exact[i]![j]!) ** 2;
    });
  }
  return squares.map((list) => list.map((x) => Math.sqrt(x / RUNS)));
}

/** The rule and its gradients, with `noise(size)` added to every sum whose magnitudes sum to `size`. */
function ruled(node: TapeNode, scale: number, g: Tensor | undefined, noise: (size: number) => number): Results {
  const [q, k, v, beta, decay] = node.inputs as [Tensor, Tensor, Tensor, Tensor, Tensor | undefined];
  const [batch, h, chunks, n, width] = node.saved[0]!.shape as [number, number, number, number, number];
  const [rows, groups] = [q.shape[0]!, q.shape[1]!];
  const t = rows / batch;
  const results = [node.output, q, k, v, beta, decay].map((x) => new Float64Array(x?.size ?? 0));
  const [out, dq, dk, dv, dbeta, ddecay] = results as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  // Sums over channels or over the columns of a value, and over the tokens of a chunk.
  const [deep, wide] = [n, width].map((terms) => Math.sqrt(terms + Math.min(t, CHUNK)) + 2) as [number, number];
  const perChannel = decay?.shape.length === 3;
  const columns = [...Array(width).keys()];
  const channels = [...Array(n).keys()];
  for (let which = 0; which < batch * h; which++) {
    const head = which % h;
    const S = dataOf(node.saved[0]!).slice(which * chunks * n * width, (which * chunks + 1) * n * width);
    const M = S.map(Math.abs);
    const tokens = Array.from({ length: t }, (_, i) => {
      const at = (Math.floor(which / h) * t + i) * h + head;
      const key = (Math.floor(at / h) * groups + Math.floor((head * groups) / h)) * n;
      const [x, y] = [dataOf(q).subarray(key, key + n), dataOf(k).subarray(key, key + n)];
      // The exponential is good to a few units; then it takes part in running products.
      const e = channels.map((c) => {
        const factor = decay ? Math.exp(dataOf(decay)[perChannel ? at * n + c : at]!) : 1;
        return factor + (decay ? noise(6 * factor) : 0);
      });
      for (let z = 0; z < S.length; z++) {
        S[z]! *= e[Math.floor(z / width)]!;
        M[z]! *= e[Math.floor(z / width)]!;
      }
      const before = S.slice();
      const r = columns.map((j) => {
        let [sum, size] = [dataOf(v)[at * width + j]!, 0];
        for (const c of channels) {
          sum -= y[c]! * S[c * width + j]!;
          size += Math.abs(y[c]!) * M[c * width + j]!;
        }
        return sum + noise(deep * size + Math.abs(dataOf(v)[at * width + j]!));
      });
      const u = r.map((z) => dataOf(beta)[at]! * z + noise(Math.abs(dataOf(beta)[at]! * z)));
      for (let z = 0; z < S.length; z++) {
        const more = y[Math.floor(z / width)]! * u[z % width]!;
        M[z]! += Math.abs(more);
        S[z]! += more + noise(2 * M[z]!);
      }
      for (const j of columns) {
        let [sum, size] = [0, 0];
        for (const c of channels) {
          sum += scale * x[c]! * S[c * width + j]!;
          size += Math.abs(scale * x[c]!) * M[c * width + j]!;
        }
        out[at * width + j] = sum + noise(deep * size);
      }
      return { at, key, x, y, e, r, u, before, after: S.slice(), size: M.slice() };
    });
    if (!g) continue;
    const dS = new Float64Array(n * width);
    const N = new Float64Array(n * width);
    // What rounding leaves of gradients of logarithms that should cancel, since the end of the chunk.
    let left = channels.map(() => 0);
    for (const { at, key, x, y, e, r, u, before, after, size: M } of tokens.toReversed()) {
      const rate = dataOf(beta)[at]!;
      const go = dataOf(g).subarray(at * width, (at + 1) * width);
      const i = Math.floor(at / h) % t;
      if (i % CHUNK === CHUNK - 1 || i === t - 1)
        left = channels.map((c) =>
          noise(wide * columns.reduce((sum, j) => sum + N[c * width + j]! * M[c * width + j]!, 0)),
        );
      for (let z = 0; z < dS.length; z++) {
        const more = scale * x[Math.floor(z / width)]! * go[z % width]!;
        N[z]! += Math.abs(more);
        dS[z]! += more + noise(2 * N[z]!);
      }
      const w = columns.map((j) => {
        let [sum, size] = [0, 0];
        for (const c of channels) {
          sum += y[c]! * dS[c * width + j]!;
          size += Math.abs(y[c]!) * N[c * width + j]!;
        }
        return sum + noise(deep * size);
      });
      for (const j of columns) {
        dv[at * width + j] = rate * w[j]! + noise(Math.abs(rate * w[j]!));
        dbeta[at]! += w[j]! * r[j]! + noise(wide * Math.abs(w[j]! * r[j]!));
      }
      for (const c of channels) {
        let [toQ, toK, toDecay, ofQ, ofK] = [0, 0, 0, 0, 0];
        for (const j of columns) {
          const z = c * width + j;
          toQ += scale * after[z]! * go[j]!;
          ofQ += scale * M[z]! * Math.abs(go[j]!);
          toK += dS[z]! * u[j]! - before[z]! * rate * w[j]!;
          ofK += N[z]! * Math.abs(u[j]!) + M[z]! * Math.abs(rate * w[j]!);
          dS[z]! -= y[c]! * rate * w[j]!;
          N[z]! += Math.abs(y[c]! * rate * w[j]!);
          toDecay += dS[z]! * before[z]!;
          dS[z]! *= e[c]!;
          N[z]! *= e[c]!;
        }
        dq[key + c]! += toQ + noise(wide * ofQ);
        dk[key + c]! += toK + noise(wide * ofK);
        left[c]! += noise(wide * (Math.abs(x[c]!) * ofQ + Math.abs(y[c]!) * ofK));
        if (decay) ddecay[perChannel ? at * n + c : at]! += toDecay + left[c]!;
      }
    }
  }
  return results;
}
