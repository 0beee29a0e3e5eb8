import type { CombineKernel } from "./index.ts";

export const combineReference: CombineKernel = (alpha, x, beta, y, out) => {
  const [a, b, c] = [x.data, y?.data, out.data];
  for (let i = 0; i < c.length; i++) c[i] = alpha * a[i]! + (b ? beta * b[i]! : 0);
};
