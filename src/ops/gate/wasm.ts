import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { GateBackwardKernel, GateKernel } from "./index.ts";

export const gateWasm: GateKernel = (a, b, out) => {
  const device = out.device as WasmDevice;
  device.launch("gate", [addressOf(out), addressOf(a), addressOf(b), out.size], threadsFor(out.size));
};

export const gateBackwardWasm: GateBackwardKernel = (a, b, g, da, db) => {
  const device = g.device as WasmDevice;
  const args = [addressOf(da), addressOf(db), addressOf(a), addressOf(b), addressOf(g), g.size];
  device.launch("gateBackward", args, threadsFor(g.size));
};
