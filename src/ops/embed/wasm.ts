import { threadsFor, type WasmDevice } from "../../device/wasm.ts";
import type { GatherKernel, ScatterKernel } from "./index.ts";

export const gatherWasm: GatherKernel = (table, ids, out) => {
  if (out.size === 0) return;
  const device = out.device as WasmDevice;
  const args = [out.address, table.address, device.stage(ids), ids.length, out.size / ids.length];
  device.launch("gatherRows", args, threadsFor(out.size));
};

export const scatterWasm: ScatterKernel = (g, ids, out) => {
  if (g.size === 0) return;
  const device = out.device as WasmDevice;
  const args = [out.address, g.address, device.stage(ids), ids.length, g.size / ids.length];
  device.launch("scatterRows", args, threadsFor(g.size));
};
