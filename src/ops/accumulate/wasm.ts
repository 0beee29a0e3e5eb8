import { DeviceError } from "../../tensor/error.ts";
import type { AccumulateKernel } from "./index.ts";

export const accumulateWasm: AccumulateKernel = () => {
  throw new DeviceError("accumulate: not written yet");
};
