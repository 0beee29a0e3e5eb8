import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { ConvBackwardKernel, ConvKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** Most runs in which rows are summed into the gradients of taps and bias, and the fewest rows that are worth a run. */
const RUNS = 16;
const ROWS = 32;

export const convWasm: ConvKernel = ({ x, w, t, before }, bias, out) => {
  if (x.size === 0) return;
  const rows = x.shape[0]!;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.W] = addressOf(w);
  args[slot.BEFORE] = addressOf(before);
  args[slot.ROWS] = rows;
  args[slot.T] = t;
  args[slot.CHANNELS] = x.size / rows;
  args[slot.WIDTH] = w.shape.at(-1)!;
  args[slot.BIAS] = addressOf(bias);
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
  const args: number[] = [];
  args[slot.OUT] = addressOf(dx);
  args[slot.X] = addressOf(x);
  args[slot.W] = addressOf(w);
  args[slot.BEFORE] = addressOf(before);
  args[slot.ROWS] = rows;
  args[slot.T] = t;
  args[slot.CHANNELS] = channels;
  args[slot.WIDTH] = width;
  args[slot.BIAS] = addressOf(dbias);
  args[slot.G] = addressOf(g);
  args[slot.DW] = addressOf(dw);
  args[slot.RUNS] = runs;
  (g.device as WasmDevice).launch(["convBackward", "convRuns"], args, threadsFor(x.size));
};
