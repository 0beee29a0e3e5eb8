import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MergeKernel } from "./index.ts";

export const mergeWasm: MergeKernel = (parts, { out, lse }) => {
  const device = out.device as WasmDevice;
  const args = [addressOf(out), addressOf(lse), lse.size, out.shape.at(-1)!, parts.length];
  for (const part of parts) args.push(addressOf(part.out), addressOf(part.lse));
  device.launch("merge", args, threadsFor(out.size));
};
