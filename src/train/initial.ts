import type { Model, Parameter } from "../model/model.ts";
import { parametersOf } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { Random } from "../tensor/random.ts";
import { type Device, sizeOf, tensor } from "../tensor/tensor.ts";

/**
 * Fresh weights: gains 1, biases 0, embedding and head N(0, 0.02), matrices N(0, 1 / fan-in), those that write to the residual
 * stream divided by sqrt(2 layers) besides (GPT-2's rule). Each parameter draws from a stream of its own, so that one
 * variant's shapes do not shift another's numbers.
 */
export function initialWeights(model: Model, device: Device, seed: number): Weights {
  const weights = new Map();
  parametersOf(model).forEach((parameter, i) => {
    const { name, shape } = parameter;
    const random = new Random((Math.imul(seed, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b)) >>> 0);
    const size = shape.reduce((product, n) => product * n, 1);
    const kind = kindOf(parameter);
    const values =
      kind === "gain"
        ? new Float64Array(size).fill(1)
        : kind === "bias"
          ? new Float64Array(size)
          : random.normals(size, deviation(parameter, model));
    weights.set(name, tensor(device, shape, values));
  });
  return weights;
}

/** Gains and biases are vectors; embedding and head map to or from the vocabulary; the rest are matrices. */
export function kindOf({ name, axes }: Parameter): "gain" | "bias" | "table" | "matrix" {
  const last = name.split(".").at(-1)!;
  if (axes.includes("vocabulary")) return "table";
  if (/^b[A-Z]/.test(last)) return "bias";
  if (!axes.includes(" ")) return "gain";
  return "matrix";
}

function deviation(parameter: Parameter, model: Model): number {
  if (kindOf(parameter) === "table") return 0.02;
  const { axes, shape } = parameter;
  return fanIn(axes, shape) ** -0.5 / (axes.endsWith(" d") ? Math.sqrt(2 * model.layers.length) : 1);
}

/** How many numbers each of a matrix's outputs sums over: the first axis, but heads' outputs are summed over heads and dims, and experts stand apart. */
export function fanIn(axes: string, shape: readonly number[]): number {
  if (axes.startsWith("h ")) return sizeOf(shape.slice(0, -1));
  return shape[axes.startsWith("x ") ? 1 : 0]!;
}
