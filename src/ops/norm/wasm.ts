import { addressOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { NormBackwardKernel, NormKernel } from "./index.ts";

/** Most gains whose gradient fits the shared memory in 16 runs (kernel.as.ts). */
const MOST = SHARED_BYTES / 4 / 16;

export const normWasm: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  const args = [addressOf(out), addressOf(x), addressOf(gain), x.size / e, e, eps, (gain?.size ?? e) / e];
  (out.device as WasmDevice).launch("norm", args, threadsFor(x.size));
};

export const normBackwardWasm: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  const gains = gain?.size ?? e;
  if (dgain && gains > MOST) throw new DeviceError(`rmsNorm: got ${gains} gains, expected at most ${MOST} on wasm`);
  const [to, toGain, by] = [addressOf(dx), addressOf(dgain), addressOf(gain)];
  const args = [to, toGain, addressOf(x), by, addressOf(g), x.size / e, e, eps, gains / e];
  (x.device as WasmDevice).launch(["normBackward", "normRuns"], args, threadsFor(x.size));
};
