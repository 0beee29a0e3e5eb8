import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** out = x + bias, which has one row of x. */
export type BiasKernel = (x: Tensor, bias: Tensor, out: Tensor) => void;

/** dbias = the sum of the rows of `g`. */
export type BiasGradientKernel = (g: Tensor, dbias: Tensor) => void;

const forward = kernel("bias", { writes: [2] });
const backward = kernel("biasGradient", { writes: [1] });

/** x `[t, ...]` plus the same `bias` `[...]` for every t; x itself where there is none. Throws ShapeError. */
export function addBias(x: Tensor, bias: Tensor | undefined): Tensor {
  if (!bias) return x;
  const { device } = x;
  if (`${bias.shape}` !== `${x.shape.slice(1)}`)
    throw new ShapeError(
      `addBias: got a bias [${bias.shape}], expected [${x.shape.slice(1)}], one row of [${x.shape}]`,
    );
  const output = new Tensor(device, x.shape);
  forward(device)(x, bias, output);
  return record({
    name: "addBias",
    inputs: [x, bias],
    output,
    saved: [],
    backward(g, wanted) {
      const dbias = wanted[1] ? new Tensor(device, bias.shape) : undefined;
      if (dbias) backward(device)(g, dbias);
      return [g, dbias];
    },
  });
}
