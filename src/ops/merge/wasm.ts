import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MergeKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const mergeWasm: MergeKernel = (parts, { out, lse }) => {
  const device = out.device as WasmDevice;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.LSE] = addressOf(lse);
  args[slot.ROWS] = lse.size;
  args[slot.WIDTH] = out.shape.at(-1)!;
  args[slot.COUNT] = parts.length;
  let at = slot.PARTS;
  for (const part of parts) {
    args[at + slot.PART_OUT] = addressOf(part.out);
    args[at + slot.PART_LSE] = addressOf(part.lse);
    at += slot.PER_PART;
  }
  device.launch("merge", args, threadsFor(out.size));
};
