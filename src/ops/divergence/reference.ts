import { dataOf } from "../../device/float.ts";
import type { DivergenceBackwardKernel, DivergenceKernel } from "./index.ts";

export const divergenceReference: DivergenceKernel = (wanted, logits, out, sums) => {
  const [rows = 0, v = 0] = logits.shape;
  const [x, y, kept] = [dataOf(wanted), dataOf(logits), dataOf(sums)];
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const [p, q] = [logsOf(x.subarray(row * v, (row + 1) * v)), logsOf(y.subarray(row * v, (row + 1) * v))];
    let sum = 0;
    for (let i = 0; i < v; i++) sum += Math.exp(p.logs[i]!) * (p.logs[i]! - q.logs[i]!);
    kept[row] = p.all;
    kept[rows + row] = q.all;
    kept[2 * rows + row] = sum;
    total += sum;
  }
  dataOf(out)[0] = total / rows;
};

/** Log probabilities, and the log of the summed exponentials. */
function logsOf(x: Float64Array) {
  const most = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const all = most + Math.log(x.reduce((sum, xi) => sum + Math.exp(xi - most), 0));
  return { all, logs: x.map((xi) => xi - all) };
}

export const divergenceBackwardReference: DivergenceBackwardKernel = (wanted, logits, sums, g, dlogits) => {
  const [rows = 0, v = 0] = logits.shape;
  const factor = dataOf(g)[0]! / rows;
  const [x, y, kept, dy] = [dataOf(wanted), dataOf(logits), dataOf(sums), dataOf(dlogits)];
  for (let row = 0; row < rows; row++)
    for (let i = row * v; i < (row + 1) * v; i++)
      dy[i] = factor * (Math.exp(y[i]! - kept[rows + row]!) - Math.exp(x[i]! - kept[row]!));
};
