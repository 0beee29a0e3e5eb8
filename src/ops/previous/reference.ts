import type { NextKernel, PreviousKernel } from "./index.ts";

export const previousReference: PreviousKernel = (x, t, first, out) => {
  const rows = x.shape[0]!;
  const width = x.size / rows;
  for (let row = 0; row < rows; row++) {
    const to = out.data.subarray(row * width, (row + 1) * width);
    if (row % t) to.set(x.data.subarray((row - 1) * width, row * width));
    else if (first) to.set(first.data);
    else to.fill(0);
  }
};

export const nextReference: NextKernel = (g, t, out) => {
  const rows = g.shape[0]!;
  const width = g.size / rows;
  for (let row = 0; row < rows; row++) {
    const to = out.data.subarray(row * width, (row + 1) * width);
    if ((row + 1) % t) to.set(g.data.subarray((row + 1) * width, (row + 2) * width));
    else to.fill(0);
  }
};
