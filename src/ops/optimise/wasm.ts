import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { AdamwKernel, SquaresKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const squaresWasm: SquaresKernel = (x, out, at) => {
  const args: number[] = [];
  args[slot.SUM] = addressOf(out) + 4 * at;
  args[slot.X] = addressOf(x);
  args[slot.NUMBERS] = x.size;
  (x.device as WasmDevice).launch(["squares", "squaresRuns"], args, threadsFor(x.size));
};

export const adamwWasm: AdamwKernel = (p, g, m, v, sums, step) => {
  const { beta1, beta2 } = step;
  const args: number[] = [];
  args[slot.P] = addressOf(p);
  args[slot.G] = addressOf(g);
  args[slot.M] = addressOf(m);
  args[slot.V] = addressOf(v);
  args[slot.SIZE] = p.size;
  args[slot.SQUARES] = addressOf(sums);
  args[slot.COUNT] = sums.size;
  args[slot.MAX_NORM] = step.maxNorm;
  args[slot.BETA1] = beta1;
  args[slot.REST1] = 1 - beta1;
  args[slot.BETA2] = beta2;
  args[slot.REST2] = 1 - beta2;
  args[slot.CORRECTION1] = 1 / step.correction1;
  args[slot.CORRECTION2] = 1 / step.correction2;
  args[slot.EPS] = step.eps;
  args[slot.RATE] = step.rate;
  args[slot.KEEP] = 1 - step.rate * step.decay;
  (p.device as WasmDevice).launch("adamw", args, threadsFor(p.size));
};
