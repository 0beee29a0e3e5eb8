import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { addBias } from "../bias/index.ts";
import { einsum } from "../einsum/index.ts";
import { rmsNorm } from "./index.ts";

/**
 * The layer norm of rows `[t, i]` by a gain and a bias `[i]`: an RMS norm of what is left once the mean is taken away, which counts as
 * the product with a matrix. Throws ShapeError.
 */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor, eps: number): Tensor {
  const i = x.shape[1]!;
  const centring = Float64Array.from({ length: i * i }, (_, at) => (at % (i + 1) === 0 ? 1 : 0) - 1 / i);
  return addBias(rmsNorm(einsum("t i, i c -> t c", x, tensor(x.device, [i, i], centring)), gain, eps), bias);
}
