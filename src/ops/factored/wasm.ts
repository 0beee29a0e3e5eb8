import { DeviceError } from "../../tensor/error.ts";
import type { FactoredKernel } from "./index.ts";

export const factoredWasm: FactoredKernel = () => {
  throw new DeviceError("attendFactored: not written yet");
};
