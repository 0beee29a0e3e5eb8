import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { GateBackwardKernel, GateKernel } from "./index.ts";

export const gateWasm: GateKernel = (a, b, out) => {
  const device = out.device as WasmDevice;
  device.launch("gate", [out.address, a.address, b.address, out.size], threadsFor(out.size));
};

export const gateBackwardWasm: GateBackwardKernel = (a, b, g, da, db) => {
  const device = g.device as WasmDevice;
  const args = [da.address, db.address, a.address, b.address, g.address, g.size];
  device.launch("gateBackward", args, threadsFor(g.size));
};
