import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { BiasGradientKernel, BiasKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const biasWasm: BiasKernel = (x, bias, out) => {
  const args: number[] = [];
  args[slot.BIAS] = addressOf(bias);
  args[slot.X] = addressOf(x);
  args[slot.ROWS] = x.size / bias.size;
  args[slot.WIDTH] = bias.size;
  args[slot.OUT] = addressOf(out);
  (out.device as WasmDevice).launch("addBias", args, threadsFor(x.size));
};

export const biasGradientWasm: BiasGradientKernel = (g, dbias) => {
  const args: number[] = [];
  args[slot.BIAS] = addressOf(dbias);
  args[slot.X] = addressOf(g);
  args[slot.ROWS] = g.size / dbias.size;
  args[slot.WIDTH] = dbias.size;
  (g.device as WasmDevice).launch("biasGradient", args, threadsFor(g.size));
};
