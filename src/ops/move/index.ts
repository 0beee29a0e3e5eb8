import { ShapeError } from "../../tensor/error.ts";
import { type Device, type Tensor, tensor } from "../../tensor/tensor.ts";

/** x on `device`: itself where it lives there, else a copy. No gradient flows from one memory to another: ShapeError on a tape. */
export function moved(x: Tensor, device: Device): Tensor {
  if (x.device === device) return x;
  if (x.recorder) throw new ShapeError(`moved: got [${x.shape}] on a tape, expected all parameters on one device`);
  return tensor(device, x.shape, x.device.view(x));
}
