import { dataOf } from "../../device/float.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { FactoredCall, FactoredKernel } from "./index.ts";

/** By definition, one query and head at a time: the key and value of a head are sums over ranks. */
export const factoredReference: FactoredKernel = (call, out) => {
  const { batch, t, s, h, e, v, scale, times, causal, window, keyRank, valueRank } = call;
  const [q, o] = [dataOf(call.q), dataOf(out).fill(0)];
  for (let row = 0; row < batch * t; row++) {
    const newest = (row % t) + s - t;
    const keys: number[] = [];
    for (let j = 0; j < s; j++)
      if ((!causal || j <= newest) && (!window || j > newest - window)) keys.push(Math.floor(row / t) * s + j);
    for (let head = 0; head < h; head++) {
      const at = (row * h + head) * e;
      const scores = keys.map((key) => {
        const k = sumRanks(call, call.ak, call.bk, keyRank, e, key, head);
        return scale * k.reduce((sum, x, i) => sum + x * q[at + i]!, 0);
      });
      const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const weights = scores.map((score) => Math.exp(score - max));
      const sum = weights.reduce((a, b) => a + b, 0);
      keys.forEach((key, j) => {
        const value = sumRanks(call, call.av, call.bv, valueRank, v, key, head);
        for (let i = 0; i < v; i++) o[(row * h + head) * v + i]! += times * (weights[j]! / sum) * value[i]!;
      });
    }
  }
};

/** sum over r of a[key, head, r] b[key, r, :]; a factor of two axes is the same for every key. */
function sumRanks({ h }: FactoredCall, a: Tensor, b: Tensor, rank: number, width: number, key: number, head: number) {
  const row = new Float64Array(width);
  const [x, y] = [dataOf(a), dataOf(b)];
  const atA = ((a.shape.length === 3 ? key * h : 0) + head) * rank;
  const atB = b.shape.length === 3 ? key * rank * width : 0;
  for (let r = 0; r < rank; r++) for (let i = 0; i < width; i++) row[i]! += x[atA + r]! * y[atB + r * width + i]!;
  return row;
}
