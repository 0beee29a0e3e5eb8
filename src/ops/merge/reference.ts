import { dataOf } from "../../device/float.ts";
import type { MergeKernel } from "./index.ts";

export const mergeReference: MergeKernel = (parts, { out, lse }) => {
  const width = out.shape.at(-1)!;
  dataOf(out).fill(0);
  for (let row = 0; row < lse.size; row++) {
    const logs = parts.map((part) => dataOf(part.lse)[row]!);
    const top = Math.max(...logs);
    const total = top === -Infinity ? top : top + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - top), 0));
    dataOf(lse)[row] = total;
    if (total === -Infinity) continue;
    parts.forEach((part, i) => {
      const weight = Math.exp(logs[i]! - total);
      for (let at = row * width; at < (row + 1) * width; at++) dataOf(out)[at]! += weight * dataOf(part.out)[at]!;
    });
  }
};
