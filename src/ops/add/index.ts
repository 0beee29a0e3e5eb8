import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { kernel, record } from "../op.ts";

/** out = alpha x + beta y, number by number; y may be absent. */
export type CombineKernel = (alpha: number, x: Tensor, beta: number, y: Tensor | undefined, out: Tensor) => void;

/** out = alpha out + beta y, in place. */
export type UpdateKernel = (out: Tensor, alpha: number, beta: number, y: Tensor | undefined) => void;

const launch = kernel("combine", { writes: [4] });
const launchUpdate = kernel("update", { writes: [], updates: [0] });

/** a + b of equal shapes. Throws ShapeError. */
export function add(a: Tensor, b: Tensor): Tensor {
  if (a.shape.length !== b.shape.length || a.shape.some((n, i) => n !== b.shape[i]))
    throw new ShapeError(`add: got [${b.shape}], expected [${a.shape}]`);
  const output = new Tensor(a.device, a.shape);
  launch(a.device)(1, a, 1, b, output);
  return record({ name: "add", inputs: [a, b], output, saved: [], backward: (g) => [g, g] });
}

/** `factor` times x. */
export function scaleBy(x: Tensor, factor: number): Tensor {
  const output = new Tensor(x.device, x.shape);
  launch(x.device)(factor, x, 0, undefined, output);
  return record({ name: "scaleBy", inputs: [x], output, saved: [], backward: (g) => [scaleBy(g, factor)] });
}

/** Fills `out`, which shares no memory with x or y, with alpha x + beta y. Not recorded: for optimisers and gradient sums. Throws ShapeError. */
export function combine(alpha: number, x: Tensor, beta: number, y: Tensor | undefined, out: Tensor): void {
  if (x.size !== out.size || (y && y.size !== out.size))
    throw new ShapeError(`combine: got [${x.shape}] and [${y?.shape}], expected [${out.shape}]`);
  launch(out.device)(alpha, x, beta, y, out);
}

/** Replaces `out` by alpha out + beta y, in place. Not recorded. Throws ShapeError. */
export function update(out: Tensor, alpha: number, beta = 0, y?: Tensor): void {
  if (y && y.size !== out.size) throw new ShapeError(`update: got [${y.shape}], expected [${out.shape}]`);
  launchUpdate(out.device)(out, alpha, beta, y);
}

/** The same numbers under another shape; gradients flow. Throws ShapeError. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  return record({
    name: "reshape",
    inputs: [x],
    output: x.reshape(shape),
    saved: [],
    backward: (g) => [g.reshape(x.shape)],
  });
}
