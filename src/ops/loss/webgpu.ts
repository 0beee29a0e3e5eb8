import { lend } from "../../device/gpu/lend.ts";
import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { groupsAside, reductions, rowCode } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { LossBackwardKernel, LossKernel } from "./index.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** The log of the summed exponentials of each row, and how far the target's logit is below it (0 where there is none). */
const rows: Shader = {
  name: "loss",
  reads: { logits: "f32", targets: "i32" },
  writes: { lse: "f32", below: "f32" },
  numbers: { rows: "u32", vocabulary: "u32" },
  code(constants) {
    const { head, sum, most } = rowCode(THREADS, constants);
    return /* wgsl */ `
${head}
  let at = p.logits_at + row * p.vocabulary;
  var own = -3.4e38;
  for (var i = lane; i < p.vocabulary; i += lanes) { own = max(own, logits[at + i]); }
  let most = ${most("own")};
  own = 0;
  for (var i = lane; i < p.vocabulary; i += lanes) { own += exp(logits[at + i] - most); }
  let value = most + log(${sum("own")});
  if (lane != 0 || !there) { return; }
  let goal = targets[p.targets_at + row];
  lse[p.lse_at + row] = value;
  below[p.below_at + row] = select(0.0, value - logits[at + u32(max(goal, 0))], goal >= 0);
}`;
  },
};

const mean: Shader = {
  name: "mean loss",
  reads: { below: "f32" },
  writes: { out: "f32" },
  numbers: { rows: "u32", counted: "u32" },
  code: ({ SUBGROUP }) => /* wgsl */ `
${reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  var own = 0.0;
  for (var i = thread; i < p.rows; i += ${THREADS}) { own += below[p.below_at + i]; }
  let sum = sum_of(thread, own);
  if (thread == 0) { out[p.out_at] = sum / f32(p.counted); }
}`,
};

export const lossWebgpu: LossKernel = (logits, targets, counted, out, lse) => {
  const device = logits.device as WebgpuDevice;
  const [count = 0, vocabulary = 0] = logits.shape;
  const below = new Tensor(device, [count]);
  const aside = groupsAside(device.traits, count);
  const constants = { ASIDE: aside !== undefined };
  const numbers = { rows: count, vocabulary };
  lend(device, targets, (ids) =>
    device.launch(rows, constants, { logits, targets: ids, lse, below }, numbers, groupsFor(aside ?? count)),
  );
  device.launch(mean, {}, { below, out }, { rows: count, counted }, [1]);
  below.free();
};

const backward: Shader = {
  name: "loss backward",
  reads: { logits: "f32", targets: "i32", lse: "f32", g: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", vocabulary: "u32", counted: "u32" },
  code: ({ SUBGROUP }) => /* wgsl */ `
${mainOf(THREADS, SUBGROUP)}
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  let row = i / p.vocabulary;
  let place = targets[p.targets_at + row];
  let share = exp(logits[p.logits_at + i] - lse[p.lse_at + row]);
  let hit = select(0.0, 1.0, i32(i % p.vocabulary) == place);
  out[p.out_at + i] = select(g[p.g_at] / f32(p.counted) * (share - hit), 0.0, place < 0);
}`,
};

export const lossBackwardWebgpu: LossBackwardKernel = (logits, targets, counted, lse, g, out) => {
  const device = logits.device as WebgpuDevice;
  const numbers = { size: logits.size, vocabulary: logits.shape[1]!, counted };
  const groups = groupsFor(Math.ceil(logits.size / THREADS));
  lend(device, targets, (ids) => device.launch(backward, {}, { logits, targets: ids, lse, g, out }, numbers, groups));
};
