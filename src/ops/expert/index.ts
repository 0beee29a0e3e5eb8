import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { addFlops } from "../flops.ts";
import { kernel } from "../op.ts";

/**
 * Who visits which expert, found and kept on the device: an entry for each expert and token that chose it, expert by expert, each
 * one's tokens in their order.
 */
export interface Visits {
  /** `[n]`: the token of each entry, -1 after the last. */
  readonly rows: Tensor;
  /** `[n]`: the weight that the token gives the expert, 0 after the last. */
  readonly weights: Tensor;
  /** `[x]`: where each expert's entries end and the next one's begin. */
  readonly ends: Tensor;
}

/** Fills `visits` from a router's weights `[t, x]`, an entry for each that is not 0. */
export type GroupKernel = (weights: Tensor, visits: Visits) => void;
/** out[i, b] = sum over a of x[i, a] w[e, a, b], e being the expert of entry i. Rows after the last entry stay undefined. */
export type ContractEachKernel = (x: Tensor, w: Tensor, ends: Tensor, out: Tensor) => void;

const launchGroup = kernel("group", { writes: [1] });
const launchEach = kernel("contractEach", { writes: [3] });

/** The visits that a router's weights `[t, x]` (see `route`) ask for, where each token chose `perToken` experts at most. */
export function group(weights: Tensor, perToken: number): Visits {
  const [t = 0, x = 0] = weights.shape;
  const { device } = weights;
  const make = (n: number) => new Tensor(device, [n]);
  const visits = { rows: make(t * perToken), weights: make(t * perToken), ends: make(x) };
  launchGroup(device)(weights, visits);
  return visits;
}

/**
 * Each entry's row of `x` `[n, a]` times its own expert's matrix of `w` `[x, a, b]`, which may be packed: `[n, b]`. No other
 * expert's weights are read. Not recorded. Throws ShapeError.
 */
export function contractEach(x: Tensor, w: Tensor, { ends }: Visits): Tensor {
  const [n = 0, a = 0] = x.shape;
  const [experts, inner, b = 0] = w.shape;
  if (w.shape.length !== 3 || inner !== a || experts !== ends.size)
    throw new ShapeError(`contractEach: got [${w.shape}], expected [${ends.size}, ${a}, columns]`);
  const output = new Tensor(x.device, [n, b]);
  launchEach(x.device)(x, w, ends, output);
  addFlops(2 * n * a * b);
  return output;
}
