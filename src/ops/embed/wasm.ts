import { addressOf, storageOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { geometryOf } from "../../device/panel.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { ShapeError } from "../../tensor/error.ts";
import { codeOf } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GatherKernel, Indices, ScatterKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const gatherWasm: GatherKernel = (table, indices, out) => {
  if (table.packing) gatherPacked(table, indices, out);
  else launch("gatherRows", out, table, table, out, indices);
};

/** Rows of a packed table whose first axis numbers its rows; only those asked for are unpacked. */
function gatherPacked(table: Tensor, indices: Indices, out: Tensor): void {
  const { packing } = table;
  const { panel, groups } = geometryOf(table.shape, packing!);
  if (out.size === 0) return;
  if (groups > 1 || packing!.rows[0] !== 0)
    throw new ShapeError(`gather: got a packed [${table.shape}], expected one whose rows its first axis numbers`);
  const at = { to: addressOf(out), from: storageOf(table) };
  if (packing!.format === "F32") launchAt("gatherRows", at, table, out, indices);
  else launchAt("gatherPacked", at, table, out, indices, { format: codeOf(packing!.format), panel });
}

export const scatterWasm: ScatterKernel = (g, indices, out) => launch("scatterRows", out, g, out, g, indices);

/** `to` and `from` as the kernel takes them; one of the two is the table, the other holds a row for each index. */
function launch(kernel: string, to: Tensor, from: Tensor, table: Tensor, each: Tensor, indices: Indices): void {
  if (each.size > 0) launchAt(kernel, { to: addressOf(to), from: addressOf(from) }, table, each, indices);
}

function launchAt(
  kernel: string,
  { to, from }: Readonly<Record<"to" | "from", number>>,
  table: Tensor,
  each: Tensor,
  { rows, count, parts }: Indices,
  packed?: { readonly format: number; readonly panel: number },
): void {
  const device = each.device as WasmDevice;
  const launch = (at: number, kind: 0 | 1) => {
    const args: number[] = [];
    args[slot.OUT] = to;
    args[slot.FROM] = from;
    args[slot.INDICES] = at;
    args[slot.COUNT] = count;
    args[slot.WIDTH] = each.size / count;
    args[slot.KIND] = kind;
    args[slot.PER_PART] = count / parts;
    args[slot.ROWS] = table.shape[0]! / parts;
    if (packed) {
      args[slot.FORMAT] = packed.format;
      args[slot.PANEL_BYTES] = packed.panel;
    }
    device.launch(kernel, args, threadsFor(each.size));
  };
  if (rows instanceof Int32Array) device.lend(rows, (at) => launch(at, 0));
  else launch(addressOf(rows), 1);
}
