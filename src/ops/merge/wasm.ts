import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { MergeKernel } from "./index.ts";

export const mergeWasm: MergeKernel = (parts, { out, lse }) => {
  const device = out.device as WasmDevice;
  const args = [out.address, lse.address, lse.size, out.shape.at(-1)!, parts.length];
  for (const part of parts) args.push(part.out.address, part.lse.address);
  device.launch("merge", args, threadsFor(out.size));
};
