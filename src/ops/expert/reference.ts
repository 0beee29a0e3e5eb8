import { dataOf } from "../../device/float.ts";
import type { ContractEachKernel, GroupKernel } from "./index.ts";
import { groupRows } from "./visit.ts";

export const groupReference: GroupKernel = (router, { rows, weights, ends }) =>
  groupRows(dataOf(router), dataOf(rows), dataOf(weights), dataOf(ends));

export const contractEachReference: ContractEachKernel = (x, w, ends, out) => {
  const [, a = 0, b = 0] = w.shape;
  const [xs, ws, y] = [dataOf(x), dataOf(w), dataOf(out)];
  let i = 0;
  for (const [expert, end] of dataOf(ends).entries())
    for (; i < end; i++)
      for (let column = 0; column < b; column++) {
        let sum = 0;
        for (let k = 0; k < a; k++) sum += xs[i * a + k]! * ws[(expert * a + k) * b + column]!;
        y[i * b + column] = sum;
      }
};
