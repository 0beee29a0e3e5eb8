import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record, stateOf, tokensOf } from "../op.ts";
import { type Batch, eachSequence } from "../sequence.ts";

/** Each row of `out` is the row of `x` before it; the first of every `t` rows is `first`, zeros where absent. */
export type PreviousKernel = (x: Tensor, t: number, first: Tensor | undefined, out: Tensor) => void;
/** Each row of `out` is the row of `g` after it; the last of every `t` rows is zeros. */
export type NextKernel = (g: Tensor, t: number, out: Tensor) => void;

const forward = kernel("previous", { writes: [3] });
const backward = kernel("next", { writes: [2] });

/** How rows follow each other: in how many sequences, and what stood before the first. */
export interface PreviousOptions {
  /** Sequences, one after the other along axis 0. */
  readonly batch?: Batch;
  /** The row before the first, `[...]`, for one sequence or for each of several: x's last row of the call before. Not differentiated. */
  readonly first?: Tensor | undefined;
}

/**
 * The row before each, within its sequence: token shift (Peng et al., "RWKV: Reinventing RNNs for the Transformer Era",
 * 2023, section 3.1).
 * @param x `[batch t, ...]`; the output has its shape. Throws ShapeError.
 */
export function previous(x: Tensor, { batch = 1, first }: PreviousOptions = {}): Tensor {
  if (typeof batch !== "number") return eachSequence(batch, (own) => previous(own(x), { first: own(first) }));
  const { device } = x;
  const t = tokensOf("previous", x, batch);
  stateOf("previous first", first, x.shape.slice(1), batch);
  const output = new Tensor(device, x.shape);
  forward(device)(x, t, first, output);
  return record({
    name: "previous",
    inputs: [x],
    output,
    saved: [],
    backward(g) {
      const dx = new Tensor(device, x.shape);
      backward(device)(g, t, dx);
      return [dx];
    },
  });
}
