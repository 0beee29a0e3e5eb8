import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { AccumulateKernel } from "./index.ts";

export const accumulateWasm: AccumulateKernel = (x, t, start, direction, out) => {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args = [out.address, x.address, start?.address ?? 0, rows / t, t, x.size / rows];
  args.push(direction === "backward" ? 1 : 0);
  (out.device as WasmDevice).launch("accumulate", args, threadsFor(x.size));
};
