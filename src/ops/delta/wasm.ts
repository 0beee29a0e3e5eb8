import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { WHOLE_COLUMNS } from "../einsum/size.ts";
import { BLOCK, CHUNK } from "./chunk.ts";
import { NONE, PER_CHANNEL, PER_HEAD } from "./decay.ts";
import type { DeltaBackwardKernel, DeltaCall, DeltaKernel } from "./index.ts";
import * as slot from "./slot.ts";

/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;

export const deltaWasm: DeltaKernel = (call, out, final, states) => {
  const { n, width } = call;
  const recurrent = call.by === "recurrent";
  const floats = recurrent ? n * (width + 4) : chunkFloats(call) + 3 * CHUNK * fill(width) + fill(n) * fill(width);
  checkRoom(call, floats);
  const args = argumentsOf(call, final, states);
  args[slot.OUT] = addressOf(out);
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
  const args = argumentsOf(call, undefined, states);
  args[slot.OUT] = 0;
  args[slot.GOUT] = addressOf(gout);
  args[slot.DQ] = addressOf(ownQ ?? grads.q);
  args[slot.DK] = addressOf(ownK ?? grads.k);
  args[slot.DV] = addressOf(grads.v);
  args[slot.DBETA] = addressOf(grads.beta);
  args[slot.DDECAY] = addressOf(grads.decay);
  args[slot.Q_SUM] = addressOf(grads.q);
  args[slot.K_SUM] = addressOf(grads.k);
  device.launch(call.g < call.h ? ["deltaBackward", "deltaHeads"] : "deltaBackward", args, threadsFor(call));
  ownQ?.free();
  ownK?.free();
};

/** The arguments that all kernels read. */
function argumentsOf(call: DeltaCall, final: Tensor | undefined, states: Tensor | undefined): number[] {
  const { decay } = call;
  const args: number[] = [];
  args[slot.BATCH] = call.batch;
  args[slot.T] = call.t;
  args[slot.KEY_HEADS] = call.g;
  args[slot.HEADS] = call.h;
  args[slot.KEY_WIDTH] = call.n;
  args[slot.VALUE_WIDTH] = call.width;
  args[slot.SCALE] = call.scale;
  args[slot.KIND] = !decay ? NONE : decay.shape.length === 3 ? PER_CHANNEL : PER_HEAD;
  args[slot.CHUNKS] = Math.ceil(call.t / CHUNK);
  args[slot.Q] = addressOf(call.q);
  args[slot.K] = addressOf(call.k);
  args[slot.V] = addressOf(call.v);
  args[slot.BETA] = addressOf(call.beta);
  args[slot.DECAY] = addressOf(decay);
  args[slot.STATE] = addressOf(call.state);
  args[slot.FINAL] = addressOf(final);
  args[slot.STATES] = addressOf(states);
  return args;
}

/** Floats of a chunk as build.as.ts lays it out. */
function chunkFloats({ n, width }: DeltaCall): number {
  const [N, V] = [fill(n), fill(width)];
  const blocks = CHUNK / BLOCK;
  const rows = 8 * CHUNK + blocks + 1 + (blocks * (blocks + 1) * BLOCK) / 2;
  return 32 + rows * N + CHUNK * (V + 1) + blocks * CHUNK * 16 + 16 * Math.max(N, V);
}

function checkRoom({ n, width }: DeltaCall, floats: number): void {
  if (4 * floats > SCRATCH_BYTES)
    throw new DeviceError(`delta: got a state of ${n} x ${width}, expected one that fits a thread's memory on wasm`);
}

/** A width filled up to whole tiles in any build. */
const fill = (width: number): number => Math.ceil(width / WHOLE_COLUMNS) * WHOLE_COLUMNS;

function threadsFor({ batch, h, t, n, width }: DeltaCall): number | undefined {
  return batch * h * t * n * width < ALONE ? 1 : undefined;
}
