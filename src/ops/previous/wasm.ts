import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { NextKernel, PreviousKernel } from "./index.ts";
import * as slot from "./slot.ts";

export const previousWasm: PreviousKernel = (x, t, first, out) => shift(x, t, first, -1, out);

export const nextWasm: NextKernel = (g, t, out) => shift(g, t, undefined, 1, out);

function shift(x: Tensor, t: number, edge: Tensor | undefined, from: 1 | -1, out: Tensor): void {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.EDGE] = addressOf(edge);
  args[slot.ROWS] = rows;
  args[slot.T] = t;
  args[slot.WIDTH] = x.size / rows;
  args[slot.FROM] = from;
  (out.device as WasmDevice).launch("shiftRows", args, threadsFor(x.size));
}
