import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { LossBackwardKernel, LossKernel } from "./index.ts";

export const lossWasm: LossKernel = (logits, targets, counted, out, lse) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  device.lend(targets, (ids) => {
    const args = [addressOf(out), addressOf(lse), addressOf(logits), ids, rows, vocabulary, counted];
    device.launch(["loss", "lossMean"], args, threadsFor(logits.size));
  });
};

export const lossBackwardWasm: LossBackwardKernel = (logits, targets, counted, lse, g, dlogits) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  device.lend(targets, (ids) => {
    const args = [addressOf(dlogits), addressOf(lse), addressOf(logits), ids, rows, vocabulary, counted, addressOf(g)];
    device.launch("lossBackward", args, threadsFor(logits.size));
  });
};
