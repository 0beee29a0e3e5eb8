import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { add, reshape } from "../add/index.ts";
import { einsum } from "../einsum/index.ts";
import { addFlops } from "../flops.ts";
import { fused, recorderOf } from "../op.ts";

/** Writes x + gain (x w) to `out`, or says that it cannot. */
export type BlendKernel = (x: Tensor, w: Tensor, gain: Tensor, out: Tensor) => boolean;

const launch = fused("blend", { writes: [3] });

/**
 * x + gain (x w) of heads' rows x `[t, h, e]`: one matrix w `[e, e]` for all of them, and a gain `[g, e]` for each of g groups of heads,
 * one after the other. One launch where a device can. Throws ShapeError.
 */
export function blend(x: Tensor, w: Tensor, gain: Tensor): Tensor {
  const [t = 0, h = 0, e = 0] = x.shape;
  const [g = 0] = gain.shape;
  if (`${w.shape}` !== `${[e, e]}` || gain.shape[1] !== e || !g || h % g)
    throw new ShapeError(
      `blend: got w [${w.shape}] and gain [${gain.shape}], expected [${e}, ${e}] and [groups, ${e}] of ${h} heads`,
    );
  const run = recorderOf([x, w, gain]) ? undefined : launch(x.device);
  if (run) {
    const output = new Tensor(x.device, x.shape);
    if (run(x, w, gain, output)) {
      addFlops(2 * t * h * e * (e + 1));
      return output;
    }
    output.free();
  }
  const mixed = reshape(einsum("t h e, e v -> t h v", x, w), [t, g, h / g, e]);
  return add(x, reshape(einsum("t g m v, g v -> t g m v", mixed, gain), x.shape));
}
