import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** Fills `lse[row]` with the log of the summed exponentials, and `out[0]` with the mean over counted rows of lse - logit. */
export type LossKernel = (logits: Tensor, targets: Int32Array, counted: number, out: Tensor, lse: Tensor) => void;
/** dlogits = g[0] / counted * (softmax - one-hot), zero in rows whose target is negative. */
export type LossBackwardKernel = (
  logits: Tensor,
  targets: Int32Array,
  counted: number,
  lse: Tensor,
  g: Tensor,
  dlogits: Tensor,
) => void;

const forward = kernel("loss", { writes: [3, 4] });
const backward = kernel("lossBackward", { writes: [5] });

/**
 * Mean cross entropy in nats, `[1]`, of `logits` `[rows, vocabulary]` against one target per row; a negative target is not
 * counted. The softmax matrix is not stored. Throws ShapeError.
 */
export function crossEntropy(logits: Tensor, targets: Int32Array): Tensor {
  const [rows = 0, vocabulary = 0] = logits.shape;
  if (targets.length !== rows) throw new ShapeError(`crossEntropy: got ${targets.length} targets, expected ${rows}`);
  let counted = 0;
  for (const target of targets) {
    if (target >= vocabulary) throw new ShapeError(`crossEntropy: got target ${target}, expected below ${vocabulary}`);
    if (target >= 0) counted++;
  }
  if (counted === 0)
    throw new ShapeError("crossEntropy: got no target to count, expected at least one that is not negative");
  const { device } = logits;
  const output = new Tensor(device, [1]);
  const lse = new Tensor(device, [rows]);
  forward(device)(logits, targets, counted, output, lse);
  return record({
    name: "crossEntropy",
    inputs: [logits],
    output,
    saved: [lse],
    backward(g) {
      const dlogits = new Tensor(device, logits.shape);
      backward(device)(logits, targets, counted, lse, g, dlogits);
      return [dlogits];
    },
  });
}
