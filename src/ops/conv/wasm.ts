import { DeviceError } from "../../tensor/error.ts";
import type { ConvBackwardKernel, ConvKernel } from "./index.ts";

export const convWasm: ConvKernel = () => {
  throw new DeviceError("conv: not written yet");
};

export const convBackwardWasm: ConvBackwardKernel = () => {
  throw new DeviceError("conv: not written yet");
};
