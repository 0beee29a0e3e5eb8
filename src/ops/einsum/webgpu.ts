import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { ContractKernel } from "./index.ts";
import type { Axis, Plan } from "./plan.ts";

/** Threads of a workgroup, each with one number of the result. */
const THREADS = 64;

/** Any contraction: each thread goes through the summed axes of its own number. Axes are sizes and steps, four words each. */
const general: Shader = {
  name: "contract",
  reads: { a: "f32", b: "f32", axes: "u32" },
  writes: { c: "f32" },
  numbers: { size: "u32", kept: "u32", summed: "u32", length: "u32", add: "u32" },
  code: () => /* wgsl */ `
/** Steps of a and b (and c) at place \`at\` of \`count\` axes from \`first\` on. */
fn place(at: u32, first: u32, count: u32) -> vec3u {
  var left = at;
  var steps = vec3u(0);
  for (var i = first + count; i > first; i--) {
    let word = p.axes_at + 4 * (i - 1);
    let n = axes[word];
    steps += (left % n) * vec3u(axes[word + 1], axes[word + 2], axes[word + 3]);
    left /= n;
  }
  return steps;
}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  let base = place(i, 0, p.kept);
  var sum = 0.0;
  for (var k = 0u; k < p.length; k++) {
    let step = place(k, p.kept, p.summed);
    sum += a[p.a_at + base.x + step.x] * b[p.b_at + base.y + step.y];
  }
  let to = p.c_at + base.z;
  if (p.add != 0) { sum += c[to]; }
  c[to] = sum;
}`,
};

const lists = new WeakMap<Plan, Int32Array>();

function axesOf(plan: Plan): Int32Array {
  let list = lists.get(plan);
  if (!list) {
    const words = ({ size, a, b, c }: Axis) => [size, a, b, c];
    list = Int32Array.from([...plan.batch, ...plan.m, ...plan.n, ...plan.k].flatMap(words));
    lists.set(plan, list);
  }
  return list;
}

export const contractWebgpu: ContractKernel = (plan, a, b, out, mode) => {
  const { batch, m, n, k } = plan;
  const numbers = {
    size: out.size,
    kept: batch.length + m.length + n.length,
    summed: k.length,
    length: k.reduce((product, { size }) => product * size, 1),
    add: mode === "add" ? 1 : 0,
  };
  const axes = axesOf(plan);
  const operands = { a, b, axes: axes.length ? axes : undefined, c: out };
  (out.device as WebgpuDevice).launch(general, {}, operands, numbers, groupsFor(Math.ceil(out.size / THREADS)));
};
