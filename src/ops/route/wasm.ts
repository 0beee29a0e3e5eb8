import { addressOf } from "../../device/address.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { RouteKernel } from "./index.ts";
import { routeRows } from "./rows.ts";

/** Run by the host in the device's own memory: a few dozen scores per token are not worth code of their own. */
export const routeWasm: RouteKernel = (logits, choice, bias, out) => {
  const { floats } = logits.device as WasmDevice;
  const view = (t: typeof logits) => floats.subarray(addressOf(t) / 4, addressOf(t) / 4 + t.size);
  routeRows(view(logits), logits.shape[1]!, choice, bias && view(bias), view(out));
};
