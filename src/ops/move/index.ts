import { ShapeError } from "../../tensor/error.ts";
import { type Device, Tensor } from "../../tensor/tensor.ts";

/** x on `device`: itself where it lives there, else a copy. No gradient flows from one memory to another: ShapeError on a tape. */
export function moveTo(x: Tensor, device: Device): Tensor {
  if (x.device === device) return x;
  if (x.recorder) throw new ShapeError(`move: got [${x.shape}] on a tape, expected all parameters on one device`);
  return copyTo(x, device);
}

/** A copy of x on `device`. Not recorded. */
export function copyTo(x: Tensor, device: Device): Tensor {
  const output = new Tensor(device, x.shape);
  device.copy(x, output, x.device);
  return output;
}

/** Copies the numbers of `from` over those of `to`, which shares no memory with it. Not recorded. Throws ShapeError. */
export function copy(from: Tensor, to: Tensor): void {
  if (from.size !== to.size) throw new ShapeError(`copy: got [${from.shape}], expected [${to.shape}]`);
  to.device.copy(from, to);
}
