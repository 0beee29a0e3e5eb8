import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { NormBackwardKernel, NormKernel } from "./index.ts";
import { RUNS } from "./size.ts";
import * as slot from "./slot.ts";

/** Most gains whose gradient fits the shared memory in all runs. */
const MOST = SHARED_BYTES / 4 / RUNS;

export const normWasm: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  const args: number[] = [];
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(x);
  args[slot.GAIN] = addressOf(gain);
  args[slot.ROWS] = x.size / e;
  args[slot.WIDTH] = e;
  args[slot.EPS] = eps;
  args[slot.HEADS] = (gain?.size ?? e) / e;
  (out.device as WasmDevice).launch("norm", args, threadsFor(x.size));
};

export const normBackwardWasm: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  const gains = gain?.size ?? e;
  if (dgain && gains > MOST) throw new DeviceError(`rmsNorm: got ${gains} gains, expected at most ${MOST} on wasm`);
  const args: number[] = [];
  args[slot.OUT] = addressOf(dx);
  args[slot.X] = addressOf(x);
  args[slot.GAIN] = addressOf(gain);
  args[slot.ROWS] = x.size / e;
  args[slot.WIDTH] = e;
  args[slot.EPS] = eps;
  args[slot.HEADS] = gains / e;
  args[slot.G] = addressOf(g);
  args[slot.DGAIN] = addressOf(dgain);
  (x.device as WasmDevice).launch(["normBackward", "normRuns"], args, threadsFor(x.size));
};
