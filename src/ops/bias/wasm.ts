import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { BiasGradientKernel, BiasKernel } from "./index.ts";

export const biasWasm: BiasKernel = (x, bias, out) => {
  const args = [addressOf(out), addressOf(x), addressOf(bias), x.size / bias.size, bias.size];
  (out.device as WasmDevice).launch("addBias", args, threadsFor(x.size));
};

export const biasGradientWasm: BiasGradientKernel = (g, dbias) => {
  const args = [addressOf(dbias), addressOf(g), g.size / dbias.size, dbias.size];
  (g.device as WasmDevice).launch("biasGradient", args, threadsFor(g.size));
};
