import fc from "fast-check";
import { variants } from "../../src/attention/variants.ts";
import { gradients } from "../../src/grad/tape.ts";
import { type FeedForward, forwardFlops, type Model, modelSize, parametersOf } from "../../src/model/model.ts";
import { forward } from "../../src/model/transformer.ts";
import { countFlops } from "../../src/ops/flops.ts";
import { crossEntropy } from "../../src/ops/loss/index.ts";
import { positionsOf } from "../../src/ops/rope/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { type Device, scope, sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import type { Violation } from "./check.ts";
import { type Case, cases } from "./geometry.ts";
import { type Operand, operand, type Program, subjectOf } from "./subject.ts";

/** A small model: any variants in any order, and how many tokens of it to run. */
export interface ModelCase {
  readonly model: Model;
  readonly form: string | undefined;
  readonly batch: number;
  readonly tokens: number;
  readonly seed: number;
}

/** Models of one to three layers, each of a variant of the list at sizes of its own. */
export function models(feed: "dense" | "experts" | "any" = "any"): fc.Arbitrary<ModelCase> {
  const layer = fc.oneof(...variants.map((v) => cases(v, 4).map((drawn) => ({ v, drawn: plain(drawn) }))));
  const dense = fc.record({ kind: fc.constant("dense" as const), f: fc.constantFrom(1, 3, 8) });
  const experts = fc
    .record({
      f: fc.constantFrom(1, 3),
      size: fc.constantFrom(1, 2, 3),
      groups: fc.constantFrom(1, 2),
      shared: fc.constantFrom(0, 5),
      scores: fc.constantFrom("softmax" as const, "sigmoid" as const),
    })
    .map(({ f, size: drawn, groups, shared, scores }): FeedForward => {
      const size = scores === "sigmoid" ? Math.max(2, drawn) : drawn;
      const routing = { scores, perToken: Math.min(2, size), groups, perGroup: 1, factor: 1.5 };
      return { kind: "experts", f, x: size * groups, shared, routing };
    });
  const kinds: fc.Arbitrary<FeedForward>[] = { dense: [dense], experts: [experts], any: [dense, experts] }[feed];
  return fc
    .record({
      width: fc.constantFrom(1, 2, 5, 8),
      vocabulary: fc.constantFrom(1, 2, 7, 11),
      tied: fc.boolean(),
      scales: fc.constantFrom(undefined, { embedding: 3, branch: 0.7, head: 0.5 }),
      layers: fc.array(fc.tuple(layer, fc.oneof(...kinds)), { minLength: 1, maxLength: 3 }),
      form: fc.constantFrom(undefined, ...new Set(variants.flatMap((v) => Object.keys(v.forms)))),
      batch: fc.constantFrom(1, 2),
      tokens: fc.integer({ min: 1, max: 6 }),
      seed: fc.nat(2 ** 31 - 1),
    })
    .map(({ width, vocabulary, tied, scales, layers, ...rest }) => ({
      ...rest,
      model: {
        width,
        vocabulary,
        tied,
        eps: 1e-6,
        ...(scales && { scales }),
        layers: layers.map(([{ v, drawn }, feed]) => ({
          // No rule ties the width to the rest.
          attention: subjectOf(v, { ...drawn, sizes: { ...drawn.sizes, d: width } }).attention,
          feed,
        })),
      },
    }));
}

/** Without biases, whose addition no declaration of FLOPs counts. */
function plain(drawn: Case): Case {
  const { bias: _, ...sizes } = drawn.sizes;
  return { ...drawn, sizes };
}

/** Numbers for all parameters: gains near 1, matrices by fan-in. */
export function weightsOf({ model, seed }: ModelCase): Operand[] {
  const random = new Random(seed);
  return parametersOf(model).map(({ name, axes, shape }) =>
    axes.includes(" ") ? operand(name, shape, random, shape[0]! ** -0.5) : operand(name, shape, random, 0.3, 1),
  );
}

/** Token ids and what should follow them, some of it not counted. */
function textOf({ model, batch, tokens, seed }: ModelCase): { ids: Int32Array; targets: Int32Array } {
  const random = new Random(seed + 1);
  const draw = (least: number) =>
    Int32Array.from({ length: batch * tokens }, () => least + random.integer(model.vocabulary - least));
  const targets = draw(-1);
  targets[0] = 0;
  return { ids: draw(0), targets };
}

/** The loss of a whole model, as a function of its parameters. */
export function lossProgram(drawn: ModelCase): Program {
  const { model, batch, tokens, form } = drawn;
  const inputs = weightsOf(drawn);
  const { ids, targets } = textOf(drawn);
  const positions = positionsOf(0, tokens, batch);
  return {
    inputs,
    scale: Math.max(...model.layers.map(({ attention: { variant, sizes } }) => variant.scale(sizes))),
    run: (tensors) =>
      crossEntropy(
        forward(model, named(inputs, tensors), ids, { positions, batch, ...(form ? { form } : {}) }),
        targets,
      ),
  };
}

export const named = (inputs: readonly Operand[], tensors: readonly Tensor[]): Map<string, Tensor> =>
  new Map(inputs.map(({ name }, i) => [name, tensors[i]!]));

/**
 * Law: a model's declared FLOPs and parameters are those counted. A training step costs three forward passes, since each product
 * has two in its gradient. Counted in every layer's first form, which has no operand (such as a placement) that asks for no
 * gradient.
 */
export function modelIsCounted(drawn: ModelCase, device: Device): Violation {
  const { model, batch, tokens, form } = drawn;
  return scope(device, () => {
    const start = device.liveBytes;
    const inputs = weightsOf(drawn);
    // Each in a block of its own, of which nothing is anybody else's.
    const tensors = inputs.map(({ shape, values }) => tensor(device, shape, values));
    const held = (device.liveBytes - start) / device.elementBytes;
    const declared = inputs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    if (held !== modelSize(model) || declared !== held)
      return `parameters: hold ${held} numbers, declared ${modelSize(model)}`;
    const { run } = lossProgram(drawn);
    const once = countFlops(() => run(tensors)).flops;
    const expected = batch * forwardFlops(model, tokens, 0, form);
    if (once !== expected) return `forward: counted ${once} FLOPs, declared ${expected}`;
    // Experts are chosen, and so are keys: what leads to a choice has no gradient.
    const chooses = ({ feed, attention: { variant, sizes } }: Model["layers"][number]) =>
      feed.kind === "experts" || Object.values(variant.forms).some(({ cost }) => cost(sizes).selected !== undefined);
    if (model.layers.some(chooses)) return undefined;
    const first = lossProgram({ ...drawn, form: undefined });
    const step = countFlops(() => gradients(tensors, () => first.run(tensors))).flops;
    const thrice = 3 * batch * forwardFlops(model, tokens);
    return step === thrice ? undefined : `training step: counted ${step} FLOPs, declared ${thrice}`;
  });
}
