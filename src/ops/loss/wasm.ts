import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { LossBackwardKernel, LossKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const lossWasm: LossKernel = (logits, targets, counted, out, lse) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  device.lend(targets, (ids) => {
    const args: number[] = [];
    args[slot.OUT] = addressOf(out);
    args[slot.LSE] = addressOf(lse);
    args[slot.LOGITS] = addressOf(logits);
    args[slot.TARGETS] = ids;
    args[slot.ROWS] = rows;
    args[slot.VOCABULARY] = vocabulary;
    args[slot.COUNTED] = counted;
    device.launch(["loss", "lossMean"], args, threadsFor(logits.size));
  });
};

export const lossBackwardWasm: LossBackwardKernel = (logits, targets, counted, lse, g, dlogits) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  device.lend(targets, (ids) => {
    const args: number[] = [];
    args[slot.OUT] = addressOf(dlogits);
    args[slot.LSE] = addressOf(lse);
    args[slot.LOGITS] = addressOf(logits);
    args[slot.TARGETS] = ids;
    args[slot.ROWS] = rows;
    args[slot.VOCABULARY] = vocabulary;
    args[slot.COUNTED] = counted;
    args[slot.G] = addressOf(g);
    device.launch("lossBackward", args, threadsFor(logits.size));
  });
};
