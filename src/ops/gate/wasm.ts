import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { GateBackwardKernel, GateKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const gateWasm: GateKernel = (a, b, out) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.A] = addressOf(a);
  args[slot.B] = addressOf(b);
  args[slot.SIZE] = out.size;
  (out.device as WasmDevice).launch("gate", args, threadsFor(out.size));
};

export const gateBackwardWasm: GateBackwardKernel = (a, b, g, da, db) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(da);
  args[slot.A] = addressOf(a);
  args[slot.B] = addressOf(b);
  args[slot.SIZE] = g.size;
  args[slot.G] = addressOf(g);
  args[slot.DB] = addressOf(db);
  (g.device as WasmDevice).launch("gateBackward", args, threadsFor(g.size));
};
