import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { RopeKernel } from "./index.ts";

export const ropeWasm: RopeKernel = (x, table, layout, sign, out) => {
  if (x.size === 0) return;
  const [rows, e, pairs] = [x.shape[0]!, x.shape.at(-1)!, table.shape[2]!];
  const args = [addressOf(out), addressOf(x), addressOf(table), rows, x.size / (rows * e), e, pairs];
  args.push(layout === "interleaved" ? 1 : 0, sign);
  (out.device as WasmDevice).launch("rope", args, threadsFor(x.size));
};
