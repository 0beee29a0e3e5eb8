import { dataOf } from "../../device/float.ts";
import type { CombineKernel, UpdateKernel } from "./index.ts";

export const combineReference: CombineKernel = (alpha, x, beta, y, out) => {
  const [a, b, c] = [dataOf(x), dataOf(y), dataOf(out)];
  for (let i = 0; i < c.length; i++) c[i] = alpha * a[i]! + (b ? beta * b[i]! : 0);
};

export const updateReference: UpdateKernel = (out, alpha, beta, y) => combineReference(alpha, out, beta, y, out);
