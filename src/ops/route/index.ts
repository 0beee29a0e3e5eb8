import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../op.ts";

/** How many of how many experts: `perToken` best, from the `perGroup` best of `groups` groups, weights times `factor`. */
export interface Choice {
  /**
   * `softmax` (DeepSeek-V2): over all experts; a group is as good as its best expert. `sigmoid` (V3): each expert alone; experts
   * are picked by their score plus a bias, groups by the sum of their two best such; the bias is in no weight.
   */
  readonly scores: "softmax" | "sigmoid";
  readonly perToken: number;
  readonly groups: number;
  readonly perGroup: number;
  /** The chosen experts' weights are divided by their sum first. */
  readonly normalised?: boolean;
  readonly factor: number;
}

/** Fills `out` `[t, x]` with each token's weight per expert, 0 where an expert is not chosen. */
export type RouteKernel = (logits: Tensor, choice: Choice, bias: Tensor | undefined, out: Tensor) => void;

const launch = kernel("route", { writes: [3] });

/**
 * A router's weights `[t, x]` from its logits `[t, x]`; `bias` `[x]` helps to pick and goes with sigmoid scores. Experts of groups
 * that are not picked are out, however good. Inference only: it records no gradient. Throws ShapeError.
 * Sources: DeepSeek-V2 (arXiv 2405.04434), section 2.2; DeepSeek-V3 (arXiv 2412.19437), section 2.1.2.
 */
export function route(logits: Tensor, choice: Choice, bias?: Tensor): Tensor {
  const x = logits.shape[1]!;
  checkChoice(choice, x);
  if (bias && (bias.size !== x || choice.scores !== "sigmoid"))
    throw new ShapeError(
      `route: bias got [${bias.shape}] with ${choice.scores} scores, expected [${x}] and sigmoid scores`,
    );
  const out = new Tensor(logits.device, logits.shape);
  launch(logits.device)(logits, choice, bias, out);
  return out;
}

/** Throws ShapeError where a choice cannot be made among x experts. */
export function checkChoice({ scores, perToken, groups, perGroup }: Choice, x: number): void {
  const whole = (n: number) => Number.isSafeInteger(n) && n >= 1;
  if (!whole(groups) || x % groups)
    throw new ShapeError(`route: groups got ${groups}, expected a divisor of ${x} experts`);
  if (!whole(perGroup) || perGroup > groups)
    throw new ShapeError(`route: perGroup got ${perGroup}, expected from 1 to ${groups} groups`);
  if (scores === "sigmoid" && groups > 1 && x / groups < 2)
    throw new ShapeError(`route: groups got ${groups} of ${x} experts, expected 2 experts in each: two score a group`);
  if (!whole(perToken) || perToken > (x / groups) * perGroup)
    throw new ShapeError(
      `route: got ${perToken} experts per token, expected from 1 to the ${(x / groups) * perGroup} of ${perGroup} groups`,
    );
}
