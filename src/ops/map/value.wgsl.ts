import type { Mapping } from "./index.ts";

/** Each function in WGSL, of x, with `functions` of device/gpu/function.ts. */
export const values: Readonly<Record<Mapping, string>> = {
  sigmoid: "sigmoidOf(x)",
  silu: "x / (1.0 + expOf(-x))",
  softplus: "softplusOf(x)",
  logSigmoid: "-softplusOf(-x)",
  exp: "expOf(x)",
  relu: "max(x, 0.0)",
  tanh: "tanhOf(x)",
};
