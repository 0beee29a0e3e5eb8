import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Kernels } from "../op.ts";
import { routeReference } from "./reference.ts";
import { routeWasm } from "./wasm.ts";

/** How many of how many experts: `perToken` best, from the `perGroup` best of `groups` groups, weights times `factor`. */
export interface Choice {
  readonly perToken: number;
  readonly groups: number;
  readonly perGroup: number;
  readonly factor: number;
}

/** Fills `out` `[t, x]` with each token's weight per expert, 0 where an expert is not chosen. */
export type RouteKernel = (logits: Tensor, choice: Choice, out: Tensor) => void;

const kernel: Kernels<RouteKernel> = { reference: routeReference, wasm: routeWasm };

/**
 * DeepSeek-V2's router: softmax over all experts, groups ranked by their best expert, the best experts of the best groups
 * keep their probability times `factor`. Inference only: it records no gradient. Throws ShapeError.
 * Source: DeepSeek-V2 (arXiv 2405.04434), section 2.2.
 */
export function route(logits: Tensor, choice: Choice): Tensor {
  const x = logits.shape[1]!;
  if (x % choice.groups) throw new ShapeError(`route: groups got ${choice.groups}, expected a divisor of ${x} experts`);
  if (choice.perToken > (x / choice.groups) * choice.perGroup)
    throw new ShapeError(
      `route: got ${choice.perToken} experts per token, expected at most those of ${choice.perGroup} groups`,
    );
  const out = new Tensor(logits.device, logits.shape);
  kernel[logits.device.kind](logits, choice, out);
  return out;
}
