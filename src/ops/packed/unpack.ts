import { threadsFor, type WasmDevice } from "../../device/wasm.ts";
import { codeOf, geometryOf } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Writes the rows of `panels` panels from `first` on as float32, side by side in the order of storage, to an address. */
export function launchUnpack(packed: Tensor, first: number, panels: number, to: number): void {
  const packing = packed.packing!;
  const { columns, panel, inner } = geometryOf(packed.shape, packing);
  const from = packed.storage + first * panel;
  const args = [to, from, codeOf(packing.format), columns, panel, first, panels, inner];
  (packed.device as WasmDevice).launch("unpack", args, threadsFor(panels * columns));
}
