import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { AccumulateKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const accumulateWasm: AccumulateKernel = (x, t, start, direction, out) => {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.START] = addressOf(start);
  args[slot.SEQUENCES] = rows / t;
  args[slot.T] = t;
  args[slot.CHANNELS] = x.size / rows;
  args[slot.BACKWARD] = direction === "backward" ? 1 : 0;
  (out.device as WasmDevice).launch("accumulate", args, threadsFor(x.size));
};
