import type { WasmDevice } from "../../device/wasm.ts";
import type { RouteKernel } from "./index.ts";
import { routeRows } from "./reference.ts";

export const routeWasm: RouteKernel = (logits, choice, out) => {
  const { floats } = logits.device as WasmDevice;
  const [from, to] = [logits.address / 4, out.address / 4];
  routeRows(floats.subarray(from, from + logits.size), logits.shape[1]!, choice, floats.subarray(to, to + out.size));
};
