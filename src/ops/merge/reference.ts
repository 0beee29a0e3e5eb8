import type { MergeKernel } from "./index.ts";

export const mergeReference: MergeKernel = (parts, { out, lse }) => {
  const width = out.shape.at(-1)!;
  out.data.fill(0);
  for (let row = 0; row < lse.size; row++) {
    const logs = parts.map((part) => part.lse.data[row]!);
    const top = Math.max(...logs);
    const total = top === -Infinity ? top : top + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - top), 0));
    lse.data[row] = total;
    if (total === -Infinity) continue;
    parts.forEach((part, i) => {
      const weight = Math.exp(logs[i]! - total);
      for (let at = row * width; at < (row + 1) * width; at++) out.data[at]! += weight * part.out.data[at]!;
    });
  }
};
