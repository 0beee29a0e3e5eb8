import { dataOf } from "../../device/float.ts";
import type { NextKernel, PreviousKernel } from "./index.ts";

export const previousReference: PreviousKernel = (x, t, first, out) => {
  const rows = x.shape[0]!;
  const width = x.size / rows;
  for (let row = 0; row < rows; row++) {
    const to = dataOf(out).subarray(row * width, (row + 1) * width);
    if (row % t) to.set(dataOf(x).subarray((row - 1) * width, row * width));
    else if (first) to.set(dataOf(first));
    else to.fill(0);
  }
};

export const nextReference: NextKernel = (g, t, out) => {
  const rows = g.shape[0]!;
  const width = g.size / rows;
  for (let row = 0; row < rows; row++) {
    const to = dataOf(out).subarray(row * width, (row + 1) * width);
    if ((row + 1) % t) to.set(dataOf(g).subarray((row + 1) * width, (row + 2) * width));
    else to.fill(0);
  }
};
