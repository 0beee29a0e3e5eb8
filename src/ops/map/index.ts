import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** The functions of one number that `map` knows. */
export type Mapping = "sigmoid" | "silu" | "softplus" | "logSigmoid" | "exp" | "relu" | "tanh";

/** out = by(x), number by number. */
export type MapKernel = (x: Tensor, by: Mapping, out: Tensor) => void;
/** dx = g by'(x). `from` is the output where the derivative is cheapest by it, and else the input (see `fromOutput`). */
export type MapBackwardKernel = (from: Tensor, by: Mapping, g: Tensor, dx: Tensor) => void;

const forward = kernel("map", { writes: [2] });
const backward = kernel("mapBackward", { writes: [3] });

/** Whose derivative is a product of outputs: s (1 - s), e^x, 1 - tanh^2. */
const fromOutput: ReadonlySet<Mapping> = new Set(["sigmoid", "exp", "relu", "tanh"]);

/**
 * One function of every number of `x`, any shape; the output has x's shape. No intermediate overflows: softplus(x) is
 * max(x, 0) + log(1 + e^-|x|), which is accurate relative to its value everywhere, and logSigmoid(x) is -softplus(-x).
 * In float32 exp is 0 below -87.3 and stays at 2.4e38 above 88.37. relu' is 0 at 0.
 */
export function map(x: Tensor, by: Mapping): Tensor {
  const { device } = x;
  const output = new Tensor(device, x.shape);
  forward(device)(x, by, output);
  return record({
    name: by,
    inputs: [x],
    output,
    saved: [],
    backward(g) {
      const dx = new Tensor(device, x.shape);
      backward(device)(fromOutput.has(by) ? output : x, by, g, dx);
      return [dx];
    },
  });
}
