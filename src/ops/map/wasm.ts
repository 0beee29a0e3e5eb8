import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MapBackwardKernel, MapKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const mapWasm: MapKernel = (x, by, out) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.SIZE] = out.size;
  (out.device as WasmDevice).launch(by, args, threadsFor(out.size));
};

export const mapBackwardWasm: MapBackwardKernel = (from, by, g, dx) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(dx);
  args[slot.X] = addressOf(from);
  args[slot.SIZE] = dx.size;
  args[slot.G] = addressOf(g);
  (dx.device as WasmDevice).launch(`${by}Backward`, args, threadsFor(dx.size));
};
