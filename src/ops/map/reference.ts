import { dataOf } from "../../device/float.ts";
import type { MapBackwardKernel, MapKernel, Mapping } from "./index.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export const functions: Readonly<Record<Mapping, (x: number) => number>> = {
  sigmoid,
  silu: (x) => x * sigmoid(x),
  softplus,
  logSigmoid: (x) => -softplus(-x),
  exp: Math.exp,
  relu: (x) => Math.max(x, 0),
  tanh: Math.tanh,
};

/** Derivatives: of x for silu, softplus and logSigmoid, of the output y for the others. */
const slopes: Readonly<Record<Mapping, (from: number) => number>> = {
  sigmoid: (y) => y * (1 - y),
  silu: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  softplus: sigmoid,
  logSigmoid: (x) => sigmoid(-x),
  exp: (y) => y,
  relu: (y) => (y > 0 ? 1 : 0),
  tanh: (y) => 1 - y * y,
};

export const mapReference: MapKernel = (x, by, out) => {
  const [f, from, to] = [functions[by], dataOf(x), dataOf(out)];
  for (let i = 0; i < to.length; i++) to[i] = f(from[i]!);
};

export const mapBackwardReference: MapBackwardKernel = (from, by, g, dx) => {
  const [slope, at, go, to] = [slopes[by], dataOf(from), dataOf(g), dataOf(dx)];
  for (let i = 0; i < to.length; i++) to[i] = go[i]! * slope(at[i]!);
};
