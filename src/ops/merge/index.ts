import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, recorderOf } from "../op.ts";

/** What queries make of some of the keys: out `[rows, h, v]`, and lse `[rows, h]` as `attend` fills it. */
export interface Portion {
  readonly out: Tensor;
  readonly lse: Tensor;
}

/** Fills `into` with the whole of `parts`; it shares no memory with them. */
export type MergeKernel = (parts: readonly Portion[], into: Portion) => void;

const launch = kernel("merge", { writes: [1] });

/**
 * Attention over all keys from attention over disjoint sets of them: with L = log sum_i exp(lse_i), out = sum_i exp(lse_i - L) out_i;
 * zeros and -Infinity where no set has a key. Not recorded: throws ShapeError on a tape, and for shapes that differ.
 * Source: Dao et al., "FlashAttention" (2022), section 3.1.
 */
export function merge(parts: readonly Portion[]): Portion {
  const [first] = parts;
  if (!first) throw new ShapeError("merge: got no parts, expected at least one");
  const { out, lse } = first;
  for (const part of parts)
    if (`${part.out.shape}` !== `${out.shape}` || `${part.lse.shape}` !== `${out.shape.slice(0, -1)}`)
      throw new ShapeError(
        `merge: got out [${part.out.shape}] and lse [${part.lse.shape}], expected [${out.shape}] and [${out.shape.slice(0, -1)}]`,
      );
  if (recorderOf(parts.flatMap((part) => [part.out, part.lse])))
    throw new ShapeError(
      "merge: got a tensor on a tape, expected none; attend to all keys at once where gradients flow",
    );
  const into = { out: new Tensor(out.device, out.shape), lse: new Tensor(out.device, lse.shape) };
  launch(out.device)(parts, into);
  return into;
}
