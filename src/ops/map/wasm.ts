import { threadsFor, type WasmDevice } from "../../device/wasm.ts";
import type { MapBackwardKernel, MapKernel, Mapping } from "./index.ts";

/** As kernel.as.ts numbers the functions. */
const numbers: Readonly<Record<Mapping, number>> = {
  sigmoid: 0,
  silu: 1,
  softplus: 2,
  logSigmoid: 3,
  exp: 4,
  relu: 5,
  tanh: 6,
};

export const mapWasm: MapKernel = (x, by, out) => {
  const device = out.device as WasmDevice;
  device.launch("map", [out.address, x.address, out.size, numbers[by]], threadsFor(out.size));
};

export const mapBackwardWasm: MapBackwardKernel = (from, by, g, dx) => {
  const device = dx.device as WasmDevice;
  device.launch("mapBackward", [dx.address, from.address, g.address, dx.size, numbers[by]], threadsFor(dx.size));
};
