import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { AdamwKernel, SquaresKernel } from "./index.ts";

export const squaresWasm: SquaresKernel = (x, out, at) => {
  (x.device as WasmDevice).launch(
    ["squares", "squaresRuns"],
    [addressOf(out) + 4 * at, addressOf(x), x.size],
    threadsFor(x.size),
  );
};

export const adamwWasm: AdamwKernel = (p, g, m, v, sums, step) => {
  const { beta1, beta2 } = step;
  const args = [
    addressOf(p),
    addressOf(g),
    addressOf(m),
    addressOf(v),
    p.size,
    addressOf(sums),
    sums.size,
    step.maxNorm,
  ];
  args.push(beta1, 1 - beta1, beta2, 1 - beta2, 1 / step.correction1, 1 / step.correction2);
  args.push(step.eps, step.rate, 1 - step.rate * step.decay);
  (p.device as WasmDevice).launch("adamw", args, threadsFor(p.size));
};
