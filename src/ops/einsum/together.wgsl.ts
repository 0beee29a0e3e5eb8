import type { Shader } from "../../device/gpu/shader.ts";

/** Threads of a workgroup, each with one number of the result. */
export const THREADS = 256;

/** Results of parts of a sum, added up in their order. */
export const together: Shader = {
  name: "contract together",
  reads: { all: "f32" },
  writes: { c: "f32" },
  numbers: { parts: "u32", size: "u32", add: "u32" },
  code: () => /* wgsl */ `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  var sum = 0.0;
  if (p.add != 0) { sum = c[p.c_at + i]; }
  for (var part = 0u; part < p.parts; part++) { sum += all[p.all_at + part * p.size + i]; }
  c[p.c_at + i] = sum;
}`,
};
