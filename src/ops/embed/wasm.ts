import { threadsFor, type WasmDevice } from "../../device/wasm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GatherKernel, Indices, ScatterKernel } from "./index.ts";

export const gatherWasm: GatherKernel = (table, indices, out) => launch("gatherRows", out, table, table, out, indices);

export const scatterWasm: ScatterKernel = (g, indices, out) => launch("scatterRows", out, g, out, g, indices);

/** `to` and `from` as the kernel takes them; one of the two is the table, the other holds a row for each index. */
function launch(kernel: string, to: Tensor, from: Tensor, table: Tensor, each: Tensor, indices: Indices): void {
  if (each.size === 0) return;
  const { rows, count, parts } = indices;
  const device = to.device as WasmDevice;
  const [at, kind] = rows instanceof Int32Array ? [device.stage(rows), 0] : [rows.address, 1];
  const args = [to.address, from.address, at, count, each.size / count, kind, count / parts, table.shape[0]! / parts];
  device.launch(kernel, args, threadsFor(each.size));
}
