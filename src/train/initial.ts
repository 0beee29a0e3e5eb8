import type { Model, Parameter } from "../model/model.ts";
import { parametersOf } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { Random } from "../tensor/random.ts";
import { type Device, sizeOf, tensor } from "../tensor/tensor.ts";

/**
 * Fresh weights: gains 1, biases 0, embedding and head N(0, 0.02), matrices N(0, 1 / fan-in), those that write to the residual
 * stream divided by sqrt(2 layers) besides (GPT-2's rule). Each parameter draws from a stream of its own, so that one
 * variant's shapes do not shift another's numbers. Tensors by parameter name, the caller's to free.
 */
export function initialWeights(model: Model, device: Device, seed: number): Weights {
  const weights = new Map();
  for (const [i, parameter] of parametersOf(model).entries())
    weights.set(parameter.name, tensor(device, parameter.shape, drawParameter(model, parameter, i, seed)));
  return weights;
}

/** The numbers that the i-th of a model's parameters starts with. */
export function drawParameter(model: Model, parameter: Parameter, i: number, seed: number): Float64Array {
  const random = new Random((Math.imul(seed, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b)) >>> 0);
  const size = sizeOf(parameter.shape);
  const own = ownInitial(parameter, model);
  if (own) return Float64Array.from({ length: size }, () => own(random));
  const kind = kindOf(parameter);
  if (kind === "gain") return new Float64Array(size).fill(1);
  return kind === "bias" ? new Float64Array(size) : random.normals(size, deviation(parameter, model));
}

/** How an attention's variant starts this parameter, where it says so. */
function ownInitial({ name }: Parameter, model: Model): ((random: Random) => number) | undefined {
  const [, layer, parameter] = /^layers\.(\d+)\.attention\.(.*)$/.exec(name) ?? [];
  if (!parameter) return undefined;
  const { variant, sizes } = model.layers[Number(layer)]!.attention;
  const own = variant.initial?.[parameter];
  return own && ((random) => own(random, sizes));
}

/**
 * By the first letter of its name: w a matrix, g a gain, b a bias, f the taps of a short convolution, a a vector that acts number by
 * number; embedding and head, whatever their names, map to or from the vocabulary.
 */
export function kindOf({ name, axes }: Parameter): "gain" | "bias" | "filter" | "table" | "matrix" {
  if (axes.includes("vocabulary")) return "table";
  const letter = /^[a-z](?=[A-Z])/.exec(name.split(".").at(-1)!)?.[0];
  if (letter === "b" || letter === "a") return "bias";
  if (letter === "f") return "filter";
  return letter === "w" ? "matrix" : "gain";
}

function deviation(parameter: Parameter, model: Model): number {
  if (kindOf(parameter) === "table") return 0.02;
  const { axes, shape } = parameter;
  return fanIn(axes, shape) ** -0.5 / (axes.endsWith(" d") ? Math.sqrt(2 * model.layers.length) : 1);
}

/** How many numbers each of a matrix's outputs sums over: the first axis, but heads' outputs are summed over heads and dims, and experts stand apart. */
export function fanIn(axes: string, shape: readonly number[]): number {
  // The taps of a short convolution, and factors that no token enters.
  if (axes.endsWith(" w") || axes === "h k" || axes === "h l") return shape.at(-1)!;
  if (axes.startsWith("h ") || axes.startsWith("b ")) return sizeOf(shape.slice(0, -1));
  return shape[axes.startsWith("x ") ? 1 : 0]!;
}
