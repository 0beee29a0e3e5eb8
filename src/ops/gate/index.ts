import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** out = silu(a) b, number by number. */
export type GateKernel = (a: Tensor, b: Tensor, out: Tensor) => void;
/** Fills da and db from the output's gradient `g`. */
export type GateBackwardKernel = (a: Tensor, b: Tensor, g: Tensor, da: Tensor, db: Tensor) => void;

const forward = kernel("gate", { writes: [2] });
const backward = kernel("gateBackward", { writes: [3, 4] });

/**
 * The gate of SwiGLU, silu(a) * b with silu(a) = a / (1 + exp(-a)). Equal shapes, else ShapeError.
 * Source: Shazeer, "GLU Variants Improve Transformer" (2020), equation 6.
 */
export function gate(a: Tensor, b: Tensor): Tensor {
  if (a.size !== b.size) throw new ShapeError(`gate: got [${b.shape}], expected [${a.shape}]`);
  const { device } = a;
  const output = new Tensor(device, a.shape);
  forward(device)(a, b, output);
  return record({
    name: "gate",
    inputs: [a, b],
    output,
    saved: [],
    backward(g) {
      const [da, db] = [new Tensor(device, a.shape), new Tensor(device, b.shape)];
      backward(device)(a, b, g, da, db);
      return [da, db];
    },
  });
}
