import type { Shader } from "../../../device/gpu/shader.ts";

/** Threads of a workgroup. */
export const EACH = 64;

const head = `@compute @workgroup_size(${EACH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {`;

/** D of every row: the sum of its output times the output's gradient. */
export const deltas: Shader = {
  name: "attendDeltas",
  reads: { out: "f32", g: "f32" },
  writes: { delta: "f32" },
  numbers: { rows: "u32", width: "u32" },
  code: () => /* wgsl */ `
${head}
  let row = line(group, groups) * ${EACH} + thread;
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var i = row * p.width; i < (row + 1) * p.width; i++) { sum += out[p.out_at + i] * g[p.g_at + i]; }
  delta[p.delta_at + row] = sum;
}`,
};

/** The gradient of sinks, a workgroup for each: that of a key without a value, -exp(sink - lse) D summed over all rows. */
export const sinkGradients: Shader = {
  name: "attendSinks",
  reads: { sinks: "f32", lse: "f32", delta: "f32" },
  writes: { out: "f32" },
  numbers: { rows: "u32", h: "u32" },
  code: () => /* wgsl */ `
var<workgroup> sums: array<f32, ${EACH}>;
${head}
  let head = line(group, groups);
  if (head >= p.h) { return; }
  var sum = 0.0;
  for (var row = thread; row < p.rows; row += ${EACH}) {
    let at = row * p.h + head;
    sum -= exp(sinks[p.sinks_at + head] - lse[p.lse_at + at]) * delta[p.delta_at + at];
  }
  sums[thread] = sum;
  for (var half = ${EACH / 2}u; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) { sums[thread] += sums[thread + half]; }
  }
  if (thread == 0) { out[p.out_at + head] = sums[0]; }
}`,
};

/** Copies of a gradient, one after the other, added up in their order. */
export const copies: Shader = {
  name: "attendCopies",
  reads: { parts: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", count: "u32" },
  code: () => /* wgsl */ `
${head}
  let i = line(group, groups) * ${EACH} + thread;
  if (i >= p.size) { return; }
  var sum = 0.0;
  for (var k = 0u; k < p.count; k++) { sum += parts[p.parts_at + k * p.size + i]; }
  out[p.out_at + i] = sum;
}`,
};
