import { scope, type Tensor, tensor } from "../../tensor/tensor.ts";
import { update } from "../add/index.ts";
import { einsum } from "../einsum/index.ts";
import { gatherRows, scatterAdd } from "../embed/index.ts";
import { addFlops } from "../flops.ts";
import { gate } from "../gate/index.ts";
import { fused } from "../op.ts";
import { addProduct, type Residual } from "../products/index.ts";
import { type Choice, route } from "../route/index.ts";
import { contractEach, group } from "./index.ts";

/** Experts by their matrices: gate and up `[x, d, f]`, down `[x, f, d]`. */
export interface Experts {
  readonly gate: Tensor;
  readonly up: Tensor;
  readonly down: Tensor;
}

/** A few tokens and their experts: rows `[t, d]`, which may be `Normed` and not in memory, logits `[t, x]` and how they choose. */
export interface Few extends Experts {
  readonly x: Tensor;
  readonly logits: Tensor;
  readonly choice: Choice;
  readonly bias: Tensor | undefined;
  /** The expert that all share: its inner half `[t, f]` and its down-projection `[f, d]`. */
  readonly shared: { readonly inner: Tensor; readonly down: Tensor } | undefined;
}

/** Adds what `addExperts` says. */
export type FewExpertsKernel = (few: Few, residual: Residual) => void;

const launch = fused("fewExperts", { writes: [], updates: [1] });

/** Tokens up to which it pays to read an expert's weights for each that chose it. */
export const FEW = 8;

/** Adds to a residual what a few tokens get of the experts that they choose and of the shared one: few launches where a device can. Nothing is recorded. */
export function addExperts(few: Few, residual: Residual): void {
  const run = few.x.shape[0]! <= FEW ? launch(few.x.device) : undefined;
  if (!run) {
    addPlain(few, residual);
    return;
  }
  run(few, residual);
  const { x, choice, down, shared } = few;
  const [, f = 0, d = 0] = down.shape;
  addFlops(2 * x.shape[0]! * d * (3 * choice.perToken * f + (shared?.inner.shape[1] ?? 0)));
}

/** The same by plain ops. */
export function addPlain({ x, logits, choice, bias, shared, ...experts }: Few, residual: Residual): void {
  // All that reads x goes before the first that adds, since x may be the norm of what is added to.
  const routed = chosenExperts(experts, x, route(logits, choice, bias), choice.perToken);
  if (shared) addProduct(shared.inner, ["t f, f d -> t d", shared.down], residual);
  update(residual.into, 1, residual.by, routed);
}

/**
 * What tokens get of the experts that they choose, by a router's weights `[t, x]`: each expert sees the tokens that chose it, and no
 * other expert's weights are read. A token's sum goes over its experts in their order. Who goes where is found and stays on the device.
 */
export function chosenExperts(
  { gate: wGate, up, down }: Experts,
  x: Tensor,
  weights: Tensor,
  perToken: number,
): Tensor {
  const { device } = x;
  return scope(device, () => {
    const visits = group(weights, perToken);
    const some = gatherRows(x, visits.rows);
    const inner = gate(contractEach(some, wGate, visits), contractEach(some, up, visits));
    const each = contractEach(einsum("n f, n -> n f", inner, visits.weights), down, visits);
    const sum = tensor(device, x.shape, new Float64Array(x.size));
    scatterAdd(each, visits.rows, sum);
    return sum;
  });
}
