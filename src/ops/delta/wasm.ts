import { DeviceError } from "../../tensor/error.ts";
import type { DeltaBackwardKernel, DeltaKernel } from "./index.ts";

export const deltaWasm: DeltaKernel = () => {
  throw new DeviceError("delta: not written yet on wasm");
};

export const deltaBackwardWasm: DeltaBackwardKernel = () => {
  throw new DeviceError("delta: not written yet on wasm");
};
