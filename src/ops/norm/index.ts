import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { multiply } from "../multiply/index.ts";
import { fused, kernel, record, recorderOf } from "../op.ts";

/** out = x / sqrt(mean(x^2) + eps) * gain over the last axis; gain over the last axes, of 1 where absent. */
export type NormKernel = (x: Tensor, gain: Tensor | undefined, eps: number, out: Tensor) => void;

/** Fills dx and dgain (each where given) from the output's gradient `g`. */
export type NormBackwardKernel = (
  x: Tensor,
  gain: Tensor | undefined,
  eps: number,
  g: Tensor,
  dx: Tensor | undefined,
  dgain: Tensor | undefined,
) => void;

/** The same as `NormKernel`, times `gate`, which has x's shape. */
export type GatedNormKernel = (x: Tensor, gain: Tensor, eps: number, gate: Tensor, out: Tensor) => void;

const forward = kernel("norm", { writes: [3] });
const gated = fused("gatedNorm", { writes: [4] });
const backward = kernel("normBackward", { writes: [4, 5] });

/**
 * Root mean square norm over the last axis, `x / sqrt(mean(x^2) + eps) * gain`.
 * Source: Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), equation 4.
 * @param gain `[e]`, or more of x's last axes, `[h, e]` (each head has gains of its own), or undefined for none. Throws
 * ShapeError.
 */
export function rmsNorm(x: Tensor, gain: Tensor | undefined, eps = 1e-6): Tensor {
  const e = x.shape.at(-1)!;
  if (gain && gain.size !== e && `${gain.shape}` !== `${x.shape.slice(-gain.shape.length)}`)
    throw new ShapeError(`rmsNorm: gain got [${gain.shape}], expected the last axes of [${x.shape}]`);
  const { device } = x;
  const output = new Tensor(device, x.shape);
  forward(device)(x, gain, eps, output);
  return record({
    name: "rmsNorm",
    inputs: [x, gain],
    output,
    saved: [],
    backward(g, wanted) {
      const dx = wanted[0] ? new Tensor(device, x.shape) : undefined;
      const dgain = gain && wanted[1] ? new Tensor(device, gain.shape) : undefined;
      backward(device)(x, gain, eps, g, dx, dgain);
      return [dx, dgain];
    },
  });
}

/** `rmsNorm` times a gate of x's shape, number by number: one launch where a device can. Throws ShapeError. */
export function gatedNorm(x: Tensor, gain: Tensor, eps: number, gate: Tensor): Tensor {
  const run = gated(x.device);
  if (!run || recorderOf([x, gain, gate]) || `${gate.shape}` !== `${x.shape}` || gain.size !== x.shape.at(-1))
    return multiply(rmsNorm(x, gain, eps), gate);
  const output = new Tensor(x.device, x.shape);
  run(x, gain, eps, gate, output);
  return output;
}
