import { ShapeError } from "../../tensor/error.ts";
import { Tensor, tensor } from "../../tensor/tensor.ts";
import { reshape } from "../add/index.ts";
import type { Term } from "./index.ts";

/**
 * Forget gates as one more score term. With F `[rows, h]` the running sum of a head's log gates, the score of query i and key j
 * gets F_i - F_j. F_i is the same for all keys and leaves softmax as it is; F_j becomes a key: the h / g numbers of a group of
 * heads side by side, of which each head's query, -1 in its own place, picks its own. So a gate per head keeps shared keys shared,
 * and F is read where it lies, on a cache's pages too.
 * Source: Lin et al., "Forgetting Transformer" (arXiv 2503.02130), section 3.
 */
export function decayTerm(sums: Tensor, scale: number, groups: number, queries: Tensor): Term {
  const [rows = 0, h = 0] = sums.shape;
  const t = queries.shape[0]!;
  if (sums.shape.length !== 2 || h !== queries.shape[1])
    throw new ShapeError(`attend: decay got [${sums.shape}], expected [key rows, ${queries.shape[1]}]`);
  const each = h / groups;
  const picks = new Float64Array(t * h * each);
  // The kernel multiplies all terms by the scale, and gates are not scaled.
  for (let i = 0; i < t * h; i++) picks[i * each + (i % each)] = -1 / scale;
  const shape = [rows, groups, each];
  const keys = sums.paging ? new Tensor(sums.device, shape, undefined, 0, sums.paging) : reshape(sums, shape);
  return [tensor(queries.device, [t, h, each], picks), keys];
}
