import { DeviceError } from "../../tensor/error.ts";
import type { NextKernel, PreviousKernel } from "./index.ts";

export const previousWasm: PreviousKernel = () => {
  throw new DeviceError("previous: not written yet");
};

export const nextWasm: NextKernel = () => {
  throw new DeviceError("previous: not written yet");
};
