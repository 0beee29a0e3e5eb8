import { dataOf } from "../../device/float.ts";
import type { BiasGradientKernel, BiasKernel } from "./index.ts";

export const biasReference: BiasKernel = (x, bias, out) => {
  const [xs, biases, y] = [dataOf(x), dataOf(bias), dataOf(out)];
  for (let i = 0; i < xs.length; i++) y[i] = xs[i]! + biases[i % biases.length]!;
};

export const biasGradientReference: BiasGradientKernel = (g, dbias) => {
  const [gs, sums] = [dataOf(g), dataOf(dbias).fill(0)];
  for (let i = 0; i < gs.length; i++) sums[i % sums.length]! += gs[i]!;
};
