import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../op.ts";

/** Most leaders of a row. */
export const MOST = 64;

/**
 * Fills `out` `[rows, 2, k]`: of each row of `x` `[rows, n]` the places of its k largest numbers and these numbers, the largest
 * first, of equal ones that of the lower place. What is no number counts as larger than all others.
 */
export type LeadersKernel = (x: Tensor, out: Tensor) => void;

const launch = kernel("leaders", { writes: [1] });

/**
 * The k largest numbers of each row of `x` `[rows, n]`, so that of logits little has to be read: `[rows, 2, k]`, first their
 * places, then they themselves, in falling order. Not recorded. Throws ShapeError for k out of 1 to 64 or beyond n.
 */
export function leaders(x: Tensor, k: number): Tensor {
  const [rows = 0, n = 0] = x.shape;
  if (x.shape.length !== 2 || !Number.isSafeInteger(k) || k < 1 || k > Math.min(MOST, n) || n > 2 ** 24)
    throw new ShapeError(`leaders: got ${k} of [${x.shape}], expected 1 to ${MOST} of the numbers of rows`);
  const out = new Tensor(x.device, [rows, 2, k]);
  launch(x.device)(x, out);
  return out;
}
