import { dataOf } from "../../device/float.ts";
import type { LossBackwardKernel, LossKernel } from "./index.ts";

export const lossReference: LossKernel = (logits, targets, counted, out, lse) => {
  const v = logits.shape[1]!;
  let total = 0;
  targets.forEach((target, row) => {
    const x = dataOf(logits).subarray(row * v, (row + 1) * v);
    const max = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const value = max + Math.log(x.reduce((sum, xi) => sum + Math.exp(xi - max), 0));
    dataOf(lse)[row] = value;
    if (target >= 0) total += value - x[target]!;
  });
  dataOf(out)[0] = total / counted;
};

export const lossBackwardReference: LossBackwardKernel = (logits, targets, counted, lse, g, dlogits) => {
  const v = logits.shape[1]!;
  const factor = dataOf(g)[0]! / counted;
  const [x, sums, dx] = [dataOf(logits), dataOf(lse), dataOf(dlogits)];
  targets.forEach((target, row) => {
    for (let i = 0; i < v; i++) {
      const p = Math.exp(x[row * v + i]! - sums[row]!);
      dx[row * v + i] = target < 0 ? 0 : factor * (p - (i === target ? 1 : 0));
    }
  });
};
