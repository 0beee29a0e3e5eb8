import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { DivergenceBackwardKernel, DivergenceKernel } from "./index.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Both sums of a row and its divergence; the gap of the maxima is left out of all gaps, so that sums stay small. */
const rows: Shader = {
  name: "divergence",
  reads: { wanted: "f32", logits: "f32" },
  writes: { sums: "f32" },
  numbers: { rows: "u32", vocabulary: "u32" },
  code: ({ SUBGROUP }) => /* wgsl */ `
${reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  let x = p.wanted_at + row * p.vocabulary;
  let y = p.logits_at + row * p.vocabulary;
  var own = vec2f(-3.4e38);
  for (var i = thread; i < p.vocabulary; i += ${THREADS}) { own = max(own, vec2f(wanted[x + i], logits[y + i])); }
  let most = vec2f(most_of(thread, own.x), most_of(thread, own.y));
  var sum = vec3f();
  for (var i = thread; i < p.vocabulary; i += ${THREADS}) {
    let each = vec2f(wanted[x + i], logits[y + i]) - most;
    let e = exp(each);
    sum += vec3f(e, e.x * (each.x - each.y));
  }
  let all = vec3f(sum_of(thread, sum.x), sum_of(thread, sum.y), sum_of(thread, sum.z));
  if (thread != 0) { return; }
  let logs = log(all.xy);
  sums[p.sums_at + row] = most.x + logs.x;
  sums[p.sums_at + p.rows + row] = most.y + logs.y;
  sums[p.sums_at + 2 * p.rows + row] = all.z / all.x - (logs.x - logs.y);
}`,
};

const mean: Shader = {
  name: "mean divergence",
  reads: { sums: "f32" },
  writes: { out: "f32" },
  numbers: { rows: "u32" },
  code: ({ SUBGROUP }) => /* wgsl */ `
${reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  var own = 0.0;
  for (var i = thread; i < p.rows; i += ${THREADS}) { own += sums[p.sums_at + 2 * p.rows + i]; }
  let sum = sum_of(thread, own);
  if (thread == 0) { out[p.out_at] = sum / f32(p.rows); }
}`,
};

export const divergenceWebgpu: DivergenceKernel = (wanted, logits, out, sums) => {
  const device = logits.device as WebgpuDevice;
  const [count = 0, vocabulary = 0] = logits.shape;
  device.launch(rows, {}, { wanted, logits, sums }, { rows: count, vocabulary }, groupsFor(count));
  device.launch(mean, {}, { sums, out }, { rows: count }, [1]);
};

const backward: Shader = {
  name: "divergence backward",
  reads: { wanted: "f32", logits: "f32", sums: "f32", g: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", rows: "u32", vocabulary: "u32" },
  code: ({ SUBGROUP }) => /* wgsl */ `
${mainOf(THREADS, SUBGROUP)}
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  let row = i / p.vocabulary;
  let wish = exp(wanted[p.wanted_at + i] - sums[p.sums_at + row]);
  let share = exp(logits[p.logits_at + i] - sums[p.sums_at + p.rows + row]);
  out[p.out_at + i] = g[p.g_at] / f32(p.rows) * (share - wish);
}`,
};

export const divergenceBackwardWebgpu: DivergenceBackwardKernel = (wanted, logits, sums, g, out) => {
  const device = logits.device as WebgpuDevice;
  const [count = 0, vocabulary = 0] = logits.shape;
  const numbers = { size: logits.size, rows: count, vocabulary };
  const groups = groupsFor(Math.ceil(logits.size / THREADS));
  device.launch(backward, {}, { wanted, logits, sums, g, out }, numbers, groups);
};
