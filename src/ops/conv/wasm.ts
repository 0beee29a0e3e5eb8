import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { ConvBackwardKernel, ConvKernel } from "./index.ts";

/** Most runs in which rows are summed into the gradients of taps and bias, and the fewest rows that are worth a run. */
const RUNS = 16;
const ROWS = 32;

export const convWasm: ConvKernel = ({ x, w, t, before }, bias, out) => {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args = [addressOf(out), addressOf(x), addressOf(w), addressOf(bias), addressOf(before)];
  args.push(rows, t, x.size / rows, w.shape.at(-1)!);
  (out.device as WasmDevice).launch("conv", args, threadsFor(x.size));
};

export const convBackwardWasm: ConvBackwardKernel = ({ x, w, t, before }, g, dx, dw, dbias) => {
  if (x.size === 0) return;
  const [rows, width] = [x.shape[0]!, w.shape.at(-1)!];
  const channels = x.size / rows;
  // As many runs as shared memory holds: by the shape alone.
  const fit = Math.floor(SHARED_BYTES / 4 / ((width + 1) * channels));
  if ((dw || dbias) && fit < 1)
    throw new DeviceError(`conv: got ${channels} channels and ${width} taps, expected their sums to fit 4 MiB on wasm`);
  const runs = Math.max(1, Math.min(RUNS, fit, Math.ceil(rows / ROWS)));
  const args = [addressOf(dx), addressOf(dw), addressOf(dbias), addressOf(x), addressOf(w), addressOf(before)];
  args.push(addressOf(g), rows, t, channels, width, runs);
  (g.device as WasmDevice).launch(["convBackward", "convRuns"], args, threadsFor(x.size));
};
