import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { CombineKernel, UpdateKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const combineWasm: CombineKernel = (alpha, x, beta, y, out) => {
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.Y] = addressOf(y);
  args[slot.SIZE] = out.size;
  args[slot.ALPHA] = alpha;
  args[slot.BETA] = beta;
  (out.device as WasmDevice).launch("combine", args, threadsFor(out.size));
};

export const updateWasm: UpdateKernel = (out, alpha, beta, y) => combineWasm(alpha, out, beta, y, out);
