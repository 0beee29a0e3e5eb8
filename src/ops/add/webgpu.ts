import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { CombineKernel, UpdateKernel } from "./index.ts";

/** Threads of a workgroup, each with one number at a time. */
const THREADS = 256;

/** out = alpha x + beta y; IN_PLACE: x is what out holds. */
const combine: Shader = {
  name: "combine",
  reads: { x: "f32", y: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", alpha: "f32", beta: "f32" },
  code: ({ IN_PLACE, Y }) => /* wgsl */ `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  let scaled = p.alpha * ${IN_PLACE ? "out[p.out_at + i]" : "x[p.x_at + i]"};
  out[p.out_at + i] = scaled${Y ? " + p.beta * y[p.y_at + i]" : ""};
}`,
};

export const combineWebgpu: CombineKernel = (alpha, x, beta, y, out) => {
  const constants = { IN_PLACE: x === out, Y: y !== undefined };
  const operands = { x: x === out ? undefined : x, y, out };
  const groups = groupsFor(Math.ceil(out.size / THREADS));
  (out.device as WebgpuDevice).launch(combine, constants, operands, { size: out.size, alpha, beta }, groups);
};

export const updateWebgpu: UpdateKernel = (out, alpha, beta, y) => combineWebgpu(alpha, out, beta, y, out);
