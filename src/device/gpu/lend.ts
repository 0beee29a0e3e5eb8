import { Tensor } from "../../tensor/tensor.ts";
import type { WebgpuDevice } from "../webgpu.ts";
import type { Operand } from "./launcher.ts";

/** Bytes of the host that travel with a launch; more are put into memory of their own. */
const MOST = 1 << 16;

/** Gives `body` an operand of numbers of the host, of any length, which is good for launches within it. */
export function lend(device: WebgpuDevice, numbers: Int32Array, body: (operand: Operand) => void): void {
  if (numbers.byteLength <= MOST) {
    body(numbers);
    return;
  }
  const copy = new Tensor(device, [numbers.length]);
  device.upload(copy, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
  body(copy);
  copy.free();
}
