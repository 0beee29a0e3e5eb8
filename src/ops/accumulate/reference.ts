import { dataOf } from "../../device/float.ts";
import type { AccumulateKernel } from "./index.ts";

export const accumulateReference: AccumulateKernel = (x, t, start, direction, out) => {
  const rows = x.shape[0]!;
  const width = x.size / rows;
  for (let from = 0; from < rows; from += t)
    for (let c = 0; c < width; c++) {
      let sum = start ? dataOf(start)[c]! : 0;
      for (let i = 0; i < t; i++) {
        const at = (from + (direction === "forward" ? i : t - 1 - i)) * width + c;
        sum += dataOf(x)[at]!;
        dataOf(out)[at] = sum;
      }
    }
};
