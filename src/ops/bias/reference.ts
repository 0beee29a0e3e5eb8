import type { BiasGradientKernel, BiasKernel } from "./index.ts";

export const biasReference: BiasKernel = (x, bias, out) => {
  const [xs, biases, y] = [x.data, bias.data, out.data];
  for (let i = 0; i < xs.length; i++) y[i] = xs[i]! + biases[i % biases.length]!;
};

export const biasGradientReference: BiasGradientKernel = (g, dbias) => {
  const [gs, sums] = [g.data, dbias.data.fill(0)];
  for (let i = 0; i < gs.length; i++) sums[i % sums.length]! += gs[i]!;
};
