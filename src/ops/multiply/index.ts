import { ShapeError } from "../../tensor/error.ts";
import { sizeOf, Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** a seen as [outer, middle, inner], with one number of b for each of `middle`. */
export interface Spread {
  readonly outer: number;
  readonly middle: number;
  readonly inner: number;
}

/** out[o, m, i] = a[o, m, i] b[m]. */
export type MultiplyKernel = (a: Tensor, b: Tensor, spread: Spread, out: Tensor) => void;
/** Fills da[o, m, i] = g[o, m, i] b[m] and db[m] = sum over o and i of g[o, m, i] a[o, m, i] (each where given). */
export type MultiplyBackwardKernel = (
  a: Tensor,
  b: Tensor,
  spread: Spread,
  g: Tensor,
  da: Tensor | undefined,
  db: Tensor | undefined,
) => void;

const forward = kernel("multiply", { writes: [3] });
const backward = kernel("multiplyBackward", { writes: [4, 5] });

/**
 * a times b, number by number, with b's axes standing at a's axes `axis`, `axis` + 1, ...; b is the same along all others.
 * For a `[t, h, e]`: b `[t, h, e]` or `[t, h]` at axis 0, `[h, e]` or `[h]` at axis 1, `[e]` at axis 2. The output has a's
 * shape. Throws ShapeError.
 */
export function multiply(a: Tensor, b: Tensor, axis = 0): Tensor {
  const end = axis + b.shape.length;
  const expected = a.shape.slice(axis, end);
  if (axis < 0 || end > a.shape.length || b.shape.some((n, i) => n !== expected[i]))
    throw new ShapeError(`multiply: got [${b.shape}], expected [${expected}] at axis ${axis} of [${a.shape}]`);
  const { device } = a;
  const spread = { outer: sizeOf(a.shape.slice(0, axis)), middle: b.size, inner: sizeOf(a.shape.slice(end)) };
  const output = new Tensor(device, a.shape);
  forward(device)(a, b, spread, output);
  return record({
    name: `multiply at ${axis}`,
    inputs: [a, b],
    output,
    saved: [],
    backward(g, wanted) {
      const da = wanted[0] ? new Tensor(device, a.shape) : undefined;
      const db = wanted[1] ? new Tensor(device, b.shape) : undefined;
      backward(device)(a, b, spread, g, da, db);
      return [da, db];
    },
  });
}
