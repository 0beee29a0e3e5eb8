import { DeviceError } from "../../tensor/error.ts";
import type { MultiplyBackwardKernel, MultiplyKernel } from "./index.ts";

export const multiplyWasm: MultiplyKernel = () => {
  throw new DeviceError("multiply: not written yet");
};

export const multiplyBackwardWasm: MultiplyBackwardKernel = () => {
  throw new DeviceError("multiply: not written yet");
};
