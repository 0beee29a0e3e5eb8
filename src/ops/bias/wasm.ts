import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { BiasGradientKernel, BiasKernel } from "./index.ts";

export const biasWasm: BiasKernel = (x, bias, out) => {
  const args = [out.address, x.address, bias.address, x.size / bias.size, bias.size];
  (out.device as WasmDevice).launch("addBias", args, threadsFor(x.size));
};

export const biasGradientWasm: BiasGradientKernel = (g, dbias) => {
  const args = [dbias.address, g.address, g.size / dbias.size, dbias.size];
  (g.device as WasmDevice).launch("biasGradient", args, threadsFor(g.size));
};
