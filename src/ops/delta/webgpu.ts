import { launchEach } from "../../device/gpu/each.ts";
import { groupsFor } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { copy } from "../move/index.ts";
import { CHUNK } from "./chunk.ts";
import type { DeltaBackwardKernel, DeltaCall, DeltaKernel } from "./index.ts";
import { COLUMNS, LANES, recurrent } from "./recurrent.wgsl.ts";
import { gather, layoutOf, remember, reverse } from "./reverse.wgsl.ts";

/** Threads of a workgroup of the gradient at most: all that any GPU has, and as many as 8 KB of sums are for. */
const MOST = 256;

export const deltaWebgpu: DeltaKernel = (call, out, final, states) => {
  const { q, k, v, beta, decay, state, batch, h, width } = call;
  // One buffer holds the state, before and after: `final`, which may be the very tensor that `state` is.
  if (state && final && !same(state, final)) copy(state, final);
  const constants = {
    ...constantsOf(call),
    START: state !== undefined,
    FINAL: final !== undefined,
    STATES: states !== undefined,
  };
  const operands = { q, k, v, beta, decay, out, memory: final ?? state, states };
  const blocks = Math.ceil(width / COLUMNS);
  const numbers = { ...numbersOf(call), scale: call.scale, blocks, jobs: batch * h * blocks };
  (out.device as WebgpuDevice).launch(recurrent, constants, operands, numbers, groupsFor(numbers.jobs));
};

const same = (a: Tensor, b: Tensor) => a.block === b.block && a.start === b.start;

/** Rows of the state that a thread keeps, of a power of two so that few shaders are compiled, and the kind of decay. */
function constantsOf({ n, decay }: DeltaCall) {
  const rows = 2 ** Math.ceil(Math.log2(Math.ceil(n / LANES)));
  return { ROWS: rows, DECAY: decay ? (decay.shape.length === 3 ? "channel" : "head") : "none" };
}

function numbersOf({ t, g, h, n, width }: DeltaCall) {
  return { t, g, h, n, width, chunks: Math.ceil(t / CHUNK) };
}

/** Bytes of what the heads of one launch keep of a chunk's tokens. */
const WORK = 32 * 2 ** 20;

export const deltaBackwardWebgpu: DeltaBackwardKernel = (call, states, gout, grads) => {
  const { q, k, v, beta, decay, batch, t, g, h, n, width, scale } = call;
  const device = gout.device as WebgpuDevice;
  const sharing = h / g;
  // Heads that share a key head go together, since their gradients of it are summed.
  const each = 4 * sharing * layoutOf(1, n, width).size;
  const heads = Math.min(batch * h, sharing * Math.max(1, Math.floor(WORK / each)));
  const { size, ...places } = layoutOf(heads, n, width);
  const work = new Tensor(device, [size]);
  const { DECAY } = constantsOf(call);
  const threads = Math.min(MOST, Math.max(32, 2 ** Math.ceil(Math.log2(n))));
  const constants = { THREADS: threads, ROWS: Math.ceil(n / threads), DECAY, DV: grads.v !== undefined };
  const sizes = numbersOf(call);
  for (let first = 0; first < batch * h; first += heads)
    for (let chunk = sizes.chunks - 1; chunk >= 0; chunk--) {
      const own = Math.min(heads, batch * h - first);
      const numbers = { ...sizes, ...places, decayed: places.states, scale, chunk, first, heads: own };
      const groups = groupsFor(own * places.blocks);
      device.launch(remember, { ...constants, DV: false }, { k, v, beta, decay, states, work }, numbers, groups);
      device.launch(reverse, constants, { q, k, beta, decay, g: gout, work, dv: grads.v }, numbers, groups);
      const begin = chunk * CHUNK;
      const length = Math.min(CHUNK, t - begin);
      const collect = (
        out: Tensor | undefined,
        offset: number,
        sum: { sharing: number; width: number; inner: number },
      ) => {
        if (!out) return;
        const all = h / sum.sharing;
        const part = { ...places, ...sum, found: places.found + offset, all, t, begin, length, heads: own };
        const some = { ...part, own: own / sum.sharing, first: first / sum.sharing };
        launchEach(device, gather, {}, { work, out }, length * some.own * sum.width, some);
      };
      collect(grads.q, 0, { sharing, width: n, inner: 1 });
      collect(grads.k, n, { sharing, width: n, inner: 1 });
      const channel = DECAY === "channel";
      collect(grads.decay, 2 * n, { sharing: 1, width: channel ? n : 1, inner: channel ? 1 : n });
      collect(grads.beta, 3 * n, { sharing: 1, width: 1, inner: 1 });
    }
  work.free();
};
