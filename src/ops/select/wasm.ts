import { DeviceError } from "../../tensor/error.ts";
import type { SelectKernel } from "./index.ts";

export const selectWasm: SelectKernel = () => {
  throw new DeviceError("select: not written yet");
};
