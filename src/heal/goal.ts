import type { Batch } from "../data/source.ts";
import { gradients } from "../grad/tape.ts";
import { attendRows, feedRows } from "../model/block.ts";
import type { Model, Parameter } from "../model/model.ts";
import { blockOf, forward, type Weights } from "../model/transformer.ts";
import { add, reshape, scaleBy, update } from "../ops/add/index.ts";
import { divergence } from "../ops/divergence/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { gather } from "../ops/embed/index.ts";
import { FormatError } from "../tensor/error.ts";
import { scope, type Tensor, tensor } from "../tensor/tensor.ts";
import { lossOf, positionsFor } from "../train/step.ts";

/**
 * What a student is trained towards:
 *
 * - `layers`: what each layer's attention adds, given what goes into that layer of the original. Each layer is trained for itself, so no
 *   gradient goes through others, and no student's feed-forward half runs: the least arithmetic per token.
 * - `logits`: the original's distribution of the next token, by their divergence.
 * - `text`: the next token.
 */
export const goals = ["layers", "logits", "text"] as const;
export type Goal = (typeof goals)[number];

/** A model and its weights. */
export interface Weighted {
  readonly model: Model;
  readonly weights: Weights;
}

/** A loss `[1]` and its gradient for each trained parameter, in their order. */
export interface Step {
  readonly value: Tensor;
  readonly gradients: readonly Tensor[];
}

/** How one step of a goal looks: to be run in a scope, whose results it leaves. */
export type Stride = (batch: Batch) => Step;

/** A goal's step. `sizes` are those of `branchSizes`, for `layers` alone. */
export function strideTo(
  goal: Goal,
  teacher: Weighted,
  student: Weighted,
  trained: readonly Parameter[],
  sizes: readonly number[],
): Stride {
  const parameters = trained.map(({ name }) => student.weights.get(name)!);
  if (goal === "layers") return (batch) => towardsLayers(teacher, student, trained, sizes, batch);
  if (goal === "text") return (batch) => gradients(parameters, () => lossOf(student.model, student.weights, batch));
  return (batch) => {
    const run = { positions: positionsFor(batch), batch: batch.count };
    const { device } = parameters[0]!;
    const wanted = scope(device, () => forward(teacher.model, teacher.weights, batch.ids, run));
    return gradients(parameters, () => divergence(wanted, forward(student.model, student.weights, batch.ids, run)));
  };
}

/** Mean over layers of the squared error of what attention adds, as a share of the mean square that the original's adds. */
function towardsLayers(
  teacher: Weighted,
  student: Weighted,
  trained: readonly Parameter[],
  sizes: readonly number[],
  batch: Batch,
): Step {
  const { layers } = teacher.model;
  const value = tensor(student.weights.get("norm")!.device, [1], [0]);
  // A conversion that changes the epsilon of all norms makes the residual stream longer by this (convert/residual.ts).
  const longer = Math.sqrt(student.model.eps / teacher.model.eps);
  const found: Tensor[] = [];
  eachBranch(teacher, batch, (i, x, branch, pass) => {
    const own = trained
      .filter(({ name }) => name.startsWith(`layers.${i}.`))
      .map(({ name }) => student.weights.get(name)!);
    const block = blockOf(student.model, student.weights, i);
    const by = 1 / (longer ** 2 * sizes[i]! * branch.size * layers.length);
    const [input, wanted] = [scaleBy(x, longer), scaleBy(branch, longer)];
    const step = gradients(own, () => scaleBy(squaredDistance(attendRows(block, input, pass), wanted), by));
    input.free();
    wanted.free();
    update(value, 1, 1, step.value);
    step.value.free();
    found.push(...step.gradients);
  });
  return { value, gradients: found };
}

/** Sum of (a - b)², `[1]`. */
function squaredDistance(a: Tensor, b: Tensor): Tensor {
  const gap = reshape(add(a, scaleBy(b, -1)), [1, a.size]);
  return einsum("one x, one x -> one", gap, gap);
}

/** Mean squares of what each layer's attention adds in the original, on a batch. Each is read. */
export async function branchSizes(teacher: Weighted, batch: Batch): Promise<number[]> {
  const sums: Tensor[] = [];
  const { device } = teacher.weights.get("norm")!;
  scope(device, () => {
    eachBranch(teacher, batch, (_i, _x, branch) => {
      const all = branch.reshape([1, branch.size]);
      sums.push(einsum("one x, one x -> one", all, all));
    });
    return sums;
  });
  const sizes: number[] = [];
  for (const sum of sums) {
    sizes.push((await sum.read())[0]! / (batch.ids.length * teacher.model.width));
    sum.free();
  }
  return sizes;
}

/** Runs a model block by block, and shows what goes into each and what its attention adds. */
function eachBranch(
  { model, weights }: Weighted,
  batch: Batch,
  see: (layer: number, x: Tensor, branch: Tensor, pass: { positions: Int32Array; batch: number }) => void,
): void {
  const pass = { positions: positionsFor(batch), batch: batch.count };
  const { device } = weights.get("norm")!;
  const embedded = gather(weights.get("embed")!, batch.ids);
  let x = model.scales ? scaleBy(embedded, model.scales.embedding) : embedded;
  for (const i of model.layers.keys()) {
    const block = blockOf(model, weights, i);
    const branch = scope(device, () => attendRows(block, x, pass));
    see(i, x, branch, pass);
    const next = scope(device, () => {
      const y = add(x, branch);
      return add(y, feedRows(block, y));
    });
    x.free();
    branch.free();
    x = next;
  }
  x.free();
}

/** Throws FormatError where a goal cannot train what is asked, or teacher and student do not belong together. */
export function checkGoal(goal: Goal, part: "attention" | "all", teacher: Model, student: Model): void {
  if (goal === "layers" && part === "all")
    throw new FormatError(
      "--goal layers: got --train all, expected attention: it looks at what attention adds, and at nothing else",
    );
  const unlike = (["vocabulary", "width"] as const).find((key) => teacher[key] !== student[key]);
  const layers = teacher.layers.length !== student.layers.length;
  if (goal !== "text" && teacher.vocabulary !== student.vocabulary)
    throw new FormatError(
      `--teacher: got a vocabulary of ${teacher.vocabulary}, expected the student's ${student.vocabulary}`,
    );
  if (goal === "layers" && (unlike || layers))
    throw new FormatError(
      `--teacher: got width ${teacher.width} and ${teacher.layers.length} layers, expected the student's ${student.width} and ${student.layers.length}; --goal logits takes any model of its vocabulary`,
    );
}
