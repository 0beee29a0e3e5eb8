import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { AccumulateKernel } from "./index.ts";

export const accumulateWasm: AccumulateKernel = (x, t, start, direction, out) => {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args = [addressOf(out), addressOf(x), addressOf(start), rows / t, t, x.size / rows];
  args.push(direction === "backward" ? 1 : 0);
  (out.device as WasmDevice).launch("accumulate", args, threadsFor(x.size));
};
