import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { LossBackwardKernel, LossKernel } from "./index.ts";

export const lossWasm: LossKernel = (logits, targets, counted, out, lse) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  const args = [out.address, lse.address, logits.address, device.stage(targets), rows, vocabulary, counted];
  device.launch("loss", args, threadsFor(logits.size));
};

export const lossBackwardWasm: LossBackwardKernel = (logits, targets, counted, lse, g, dlogits) => {
  const device = logits.device as WasmDevice;
  const [rows = 0, vocabulary = 0] = logits.shape;
  const [ids, to] = [device.stage(targets), dlogits.address];
  const args = [to, lse.address, logits.address, ids, rows, vocabulary, counted, g.address];
  device.launch("lossBackward", args, threadsFor(logits.size));
};
