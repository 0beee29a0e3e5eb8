import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/**
 * Fills `sums` `[3, rows]` with each row's log of the summed exponentials of `wanted` and of `logits` and its divergence, and `out[0]`
 * with the mean of the divergences.
 */
export type DivergenceKernel = (wanted: Tensor, logits: Tensor, out: Tensor, sums: Tensor) => void;
/** dlogits = g[0] / rows * (softmax(logits) - softmax(wanted)). */
export type DivergenceBackwardKernel = (
  wanted: Tensor,
  logits: Tensor,
  sums: Tensor,
  g: Tensor,
  dlogits: Tensor,
) => void;

const forward = kernel("divergence", { writes: [2, 3] });
const backward = kernel("divergenceBackward", { writes: [4] });

/**
 * Mean over rows of the Kullback-Leibler divergence of softmax(`logits`) from softmax(`wanted`), both `[rows, vocabulary]`, in nats,
 * `[1]`: sum p (log p - log q). No gradient flows into `wanted`. Neither softmax is stored. Throws ShapeError.
 */
export function divergence(wanted: Tensor, logits: Tensor): Tensor {
  const [rows = 0] = logits.shape;
  if (logits.shape.length !== 2 || `${wanted.shape}` !== `${logits.shape}`)
    throw new ShapeError(`divergence: got [${logits.shape}], expected [${wanted.shape}] and two axes`);
  if (wanted.recorder)
    throw new ShapeError("divergence: got wanted logits on a tape, expected ones that need no gradient");
  const { device } = logits;
  const output = new Tensor(device, [1]);
  const sums = new Tensor(device, [3, rows]);
  forward(device)(wanted, logits, output, sums);
  return record({
    name: "divergence",
    inputs: [wanted, logits],
    output,
    saved: [sums],
    backward(g) {
      const dlogits = new Tensor(device, logits.shape);
      backward(device)(wanted, logits, sums, g, dlogits);
      return [undefined, dlogits];
    },
  });
}
