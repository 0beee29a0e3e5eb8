import { DeviceError } from "../../tensor/error.ts";
import type { MapBackwardKernel, MapKernel } from "./index.ts";

export const mapWasm: MapKernel = () => {
  throw new DeviceError("map: not written yet");
};

export const mapBackwardWasm: MapBackwardKernel = () => {
  throw new DeviceError("map: not written yet");
};
