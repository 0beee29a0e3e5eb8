import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { DivergenceBackwardKernel, DivergenceKernel } from "./index.ts";
import * as slot from "./slot.ts";

function argumentsOf(wanted: Tensor, logits: Tensor, out: Tensor, sums: Tensor): number[] {
  const [rows = 0, vocabulary = 0] = logits.shape;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.SUMS] = addressOf(sums);
  args[slot.WANTED] = addressOf(wanted);
  args[slot.LOGITS] = addressOf(logits);
  args[slot.ROWS] = rows;
  args[slot.VOCABULARY] = vocabulary;
  return args;
}

export const divergenceWasm: DivergenceKernel = (wanted, logits, out, sums) => {
  const device = logits.device as WasmDevice;
  device.launch(["divergence", "divergenceMean"], argumentsOf(wanted, logits, out, sums), threadsFor(logits.size));
};

export const divergenceBackwardWasm: DivergenceBackwardKernel = (wanted, logits, sums, g, dlogits) => {
  const device = logits.device as WasmDevice;
  const args = argumentsOf(wanted, logits, dlogits, sums);
  args[slot.G] = addressOf(g);
  device.launch("divergenceBackward", args, threadsFor(logits.size));
};
