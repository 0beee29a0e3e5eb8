import { threadsFor } from "../../device/grain.ts";
import { SHARED_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { NormBackwardKernel, NormKernel } from "./index.ts";

/** Most gains whose gradient fits the shared memory in 16 runs (kernel.as.ts). */
const MOST = SHARED_BYTES / 4 / 16;

export const normWasm: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  const args = [out.address, x.address, gain?.address ?? 0, x.size / e, e, eps, (gain?.size ?? e) / e];
  (out.device as WasmDevice).launch("norm", args, threadsFor(x.size));
};

export const normBackwardWasm: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  const gains = gain?.size ?? e;
  if (dgain && gains > MOST) throw new DeviceError(`rmsNorm: got ${gains} gains, expected at most ${MOST} on wasm`);
  const [to, toGain, by] = [dx?.address ?? 0, dgain?.address ?? 0, gain?.address ?? 0];
  const args = [to, toGain, x.address, by, g.address, x.size / e, e, eps, gains / e];
  (x.device as WasmDevice).launch("normBackward", args, threadsFor(x.size));
};
