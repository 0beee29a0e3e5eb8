import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { RopeKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const ropeWasm: RopeKernel = (x, table, layout, sign, out) => {
  if (x.size === 0) return;
  const [rows, e, pairs] = [x.shape[0]!, x.shape.at(-1)!, table.shape[2]!];
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.TABLE] = addressOf(table);
  args[slot.ROWS] = rows;
  args[slot.VECTORS] = x.size / (rows * e);
  args[slot.WIDTH] = e;
  args[slot.PAIRS] = pairs;
  args[slot.INTERLEAVED] = layout === "interleaved" ? 1 : 0;
  args[slot.SIGN] = sign;
  (out.device as WasmDevice).launch("rope", args, threadsFor(x.size));
};
