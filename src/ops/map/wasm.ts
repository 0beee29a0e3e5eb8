import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MapBackwardKernel, MapKernel } from "./index.ts";

export const mapWasm: MapKernel = (x, by, out) => {
  (out.device as WasmDevice).launch(by, [addressOf(out), addressOf(x), out.size], threadsFor(out.size));
};

export const mapBackwardWasm: MapBackwardKernel = (from, by, g, dx) => {
  const args = [addressOf(dx), addressOf(from), addressOf(g), dx.size];
  (dx.device as WasmDevice).launch(`${by}Backward`, args, threadsFor(dx.size));
};
