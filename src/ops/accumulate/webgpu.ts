import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import { exactSum } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { AccumulateKernel } from "./index.ts";

/** Threads of a workgroup, which share the rows of one column of one sequence: a run of them each. */
const THREADS = 64;

const running: Shader = {
  name: "accumulate",
  reads: { x: "f32", start: "f32" },
  writes: { out: "f32" },
  numbers: { jobs: "u32", t: "u32", width: "u32", zero: "u32" },
  code: ({ START, BACKWARD }) => /* wgsl */ `${exactSum}
var<workgroup> totals: array<vec2f, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let job = line(group, groups);
  if (job >= p.jobs) { return; }
  let column = job % p.width;
  let first = job / p.width * p.t;
  let each = (p.t + ${THREADS - 1}) / ${THREADS};
  let end = min(p.t, (thread + 1) * each);
  var sum = vec2f(0);
  for (var i = thread * each; i < end; i++) {
    sum = plus(sum, x[p.x_at + (first + ${BACKWARD ? "p.t - 1 - i" : "i"}) * p.width + column]);
  }
  totals[thread] = sum;
  workgroupBarrier();
  sum = vec2f(${START ? "start[p.start_at + column]" : "0"}, 0);
  for (var k = 0u; k < thread; k++) { sum = join(sum, totals[k]); }
  for (var i = thread * each; i < end; i++) {
    let place = (first + ${BACKWARD ? "p.t - 1 - i" : "i"}) * p.width + column;
    sum = plus(sum, x[p.x_at + place]);
    out[p.out_at + place] = sum.x + sum.y;
  }
}`,
};

export const accumulateWebgpu: AccumulateKernel = (x, t, start, direction, out) => {
  const rows = x.shape[0]!;
  if (x.size === 0) return;
  const width = x.size / rows;
  const jobs = (rows / t) * width;
  const constants = { START: start !== undefined, BACKWARD: direction === "backward" };
  const numbers = { jobs, t, width, zero: 0 };
  (out.device as WebgpuDevice).launch(running, constants, { x, start, out }, numbers, groupsFor(jobs));
};
