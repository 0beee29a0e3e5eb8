import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { CHUNK } from "./chunk.ts";
import type { DeltaBackwardKernel, DeltaCall, DeltaKernel } from "./index.ts";

/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;

export const deltaWasm: DeltaKernel = (call, out, final, states) => {
  const { n, width } = call;
  const recurrent = call.by === "recurrent";
  const floats = recurrent ? n * (width + 4) : chunkFloats(call) + 3 * CHUNK * fill(width) + fill(n) * fill(width);
  checkRoom(call, floats);
  const args = [...head(call, final, states), addressOf(out)];
  (out.device as WasmDevice).launch(recurrent ? "deltaRecurrent" : "deltaChunked", args, threadsFor(call));
};

export const deltaBackwardWasm: DeltaBackwardKernel = (call, states, gout, grads) => {
  const { n, width, batch, t, h, g } = call;
  const device = gout.device as WasmDevice;
  const [N, V] = [fill(n), fill(width)];
  checkRoom(call, chunkFloats(call) + (3 * CHUNK + 18) * N + 16 * CHUNK + 6 * CHUNK * V + 3 * N * V);
  // Where value heads share a key head, each writes gradients of its own, summed at the end.
  const copy = (x: Tensor | undefined) => (x && g < h ? new Tensor(device, [batch * t, h, n]) : undefined);
  const [ownQ, ownK] = [copy(grads.q), copy(grads.k)];
  const to = [ownQ ?? grads.q, ownK ?? grads.k, grads.v, grads.beta, grads.decay, grads.q, grads.k];
  const args = [...head(call, undefined, states), addressOf(gout), ...to.map((x) => addressOf(x))];
  device.launch(call.g < call.h ? ["deltaBackward", "deltaHeads"] : "deltaBackward", args, threadsFor(call));
  ownQ?.free();
  ownK?.free();
};

/** The arguments that call.as.ts reads. */
function head(call: DeltaCall, final: Tensor | undefined, states: Tensor | undefined): number[] {
  const { batch, t, g, h, n, width, scale, q, k, v, beta, decay, state } = call;
  const kind = decay ? decay.shape.length - 1 : 0;
  return [
    batch,
    t,
    g,
    h,
    n,
    width,
    scale,
    kind,
    Math.ceil(t / CHUNK),
    addressOf(q),
    addressOf(k),
    addressOf(v),
    addressOf(beta),
    ...[decay, state, final, states].map((x) => addressOf(x)),
  ];
}

/** Floats of a chunk as build.as.ts lays it out. */
function chunkFloats({ n, width }: DeltaCall): number {
  const [N, V] = [fill(n), fill(width)];
  const blocks = CHUNK / 8;
  const rows = 8 * CHUNK + blocks + 1 + (blocks * (blocks + 1) * 8) / 2;
  return 32 + rows * N + CHUNK * (V + 1) + blocks * CHUNK * 16 + 16 * Math.max(N, V);
}

function checkRoom({ n, width }: DeltaCall, floats: number): void {
  if (4 * floats > SCRATCH_BYTES)
    throw new DeviceError(`delta: got a state of ${n} x ${width}, expected one that fits a thread's memory on wasm`);
}

/** A width filled up to whole tiles in any build. */
const fill = (width: number): number => Math.ceil(width / 16) * 16;

function threadsFor({ batch, h, t, n, width }: DeltaCall): number | undefined {
  return batch * h * t * n * width < ALONE ? 1 : undefined;
}
