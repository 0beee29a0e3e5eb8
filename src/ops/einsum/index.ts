import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { addFlops } from "../flops.ts";
import { kernel, record } from "../op.ts";
import { type Plan, planOf } from "./plan.ts";

/** Writes the contraction to `out`, or adds it to what `out` holds. */
export type ContractKernel = (plan: Plan, a: Tensor, b: Tensor, out: Tensor, mode: "set" | "add") => void;

/** A contraction of `a` with `b`, which may be packed, that is written to `out` or added to what it holds. */
export interface Contracted {
  readonly plan: Plan;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly out: Tensor;
  readonly mode: "set" | "add";
}

const contract = kernel("contract", { writes: [], updates: [3] });

/**
 * Contracts two tensors: letters name axes, a letter missing on the right is summed over.
 * `einsum("t d, d h e -> t h e", x, w)` projects tokens to heads. No transposed or broadcast copies are made.
 * Each letter must stand in at least two of the three places. `b` may be packed (see tensor/packing.ts). Throws ShapeError.
 */
export function einsum(spec: string, a: Tensor, b: Tensor): Tensor {
  const plan = planOf(spec, a.shape, b.shape);
  const output = new Tensor(a.device, plan.shape);
  run(plan, a, b, output, "set");
  // Where there is no tape, nothing is left behind for one.
  if (!a.recorder && !b.recorder) return output;
  return record({
    name: spec,
    inputs: [a, b],
    output,
    saved: [],
    backward(g, wanted, into) {
      const [specA, specB] = plan.gradients;
      return [
        wanted[0] ? einsumInto(specA, g, b, a.shape, into[0]) : undefined,
        wanted[1] ? einsumInto(specB, g, a, b.shape, into[1]) : undefined,
      ];
    },
  });
}

/** `einsum` that adds to `into` where that is given. Not recorded. */
export function einsumInto(spec: string, a: Tensor, b: Tensor, shape: readonly number[], into?: Tensor): Tensor {
  const plan = planOf(spec, a.shape, b.shape);
  if (plan.shape.some((n, i) => n !== shape[i]) || plan.shape.length !== shape.length)
    throw new ShapeError(`einsum "${spec}": got [${plan.shape}], expected [${shape}]`);
  const output = into ?? new Tensor(a.device, plan.shape);
  run(plan, a, b, output, into ? "add" : "set");
  return output;
}

function run(plan: Plan, a: Tensor, b: Tensor, out: Tensor, mode: "set" | "add"): void {
  addFlops(plan.flops);
  contract(a.device)(plan, a, b, out, mode);
}
