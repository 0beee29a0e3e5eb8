import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { CombineKernel, UpdateKernel } from "./index.ts";

export const combineWasm: CombineKernel = (alpha, x, beta, y, out) => {
  const device = out.device as WasmDevice;
  device.launch("combine", [addressOf(out), addressOf(x), addressOf(y), out.size, alpha, beta], threadsFor(out.size));
};

export const updateWasm: UpdateKernel = (out, alpha, beta, y) => combineWasm(alpha, out, beta, y, out);
