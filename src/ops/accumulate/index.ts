import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record, stateOf, tokensOf } from "../op.ts";
import { type Batch, eachSequence } from "../sequence.ts";

/**
 * Sums of the rows so far in every sequence of `t` rows, this one included, from `start` (zeros where absent) on; from the
 * last row back where `direction` is "backward".
 */
export type AccumulateKernel = (
  x: Tensor,
  t: number,
  start: Tensor | undefined,
  direction: "forward" | "backward",
  out: Tensor,
) => void;

const launch = kernel("accumulate", { writes: [4] });

/** How rows follow each other: in how many sequences, and the sum before the first. */
export interface AccumulateOptions {
  /** Sequences, one after the other along axis 0. */
  readonly batch?: Batch;
  /** Added to all sums, `[...]`, for one sequence or for each of several: the last row of the call before. Not differentiated. */
  readonly start?: Tensor | undefined;
}

/**
 * Running sum along the tokens of each sequence: row i is the sum of rows 0 to i. In float32 the sums are kept in float64
 * and each is rounded once, so that the error does not grow with t.
 * @param x `[batch t, ...]`; the output has its shape. Throws ShapeError.
 */
export function accumulate(x: Tensor, { batch = 1, start }: AccumulateOptions = {}): Tensor {
  if (typeof batch !== "number") return eachSequence(batch, (own) => accumulate(own(x), { start: own(start) }));
  const { device } = x;
  const t = tokensOf("accumulate", x, batch);
  stateOf("accumulate start", start, x.shape.slice(1), batch);
  const output = new Tensor(device, x.shape);
  launch(device)(x, t, start, "forward", output);
  return record({
    name: "accumulate",
    inputs: [x],
    output,
    saved: [],
    backward(g) {
      const dx = new Tensor(device, x.shape);
      launch(device)(g, t, undefined, "backward", dx);
      return [dx];
    },
  });
}
