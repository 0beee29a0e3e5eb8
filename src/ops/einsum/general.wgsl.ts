import type { Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { weightCode, weightNumbers } from "../packed/weight.wgsl.ts";
import type { Loop } from "./loops.wgsl.ts";

/** Threads of a workgroup, each with one number of the result. */
export const THREADS = 64;

/** Any contraction: each thread goes through the summed loops of its own number, slowly where there are some. Loops are a size and steps, five words each. */
export const general: Shader = {
  name: "contract",
  reads: { a: "f32", b: "u32", axes: "u32" },
  writes: { c: "f32" },
  numbers: { size: "u32", kept: "u32", summed: "u32", depth: "u32", add: "u32", ...weightNumbers },
  code: ({ FORMAT }) => /* wgsl */ `
${weightCode(FORMAT as PackedFormat)}
/** Steps in a, in b, along its row, and in c, at a place of so many loops from the first on. */
fn place(at: u32, first: u32, count: u32) -> vec4u {
  var left = at;
  var steps = vec4u(0);
  for (var i = first + count; i > first; i--) {
    let word = p.axes_at + 5 * (i - 1);
    let n = axes[word];
    steps += (left % n) * vec4u(axes[word + 1], axes[word + 2], axes[word + 3], axes[word + 4]);
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
  for (var k = 0u; k < p.depth; k++) {
    let at = base + place(k, p.kept, p.summed);
    sum += a[p.a_at + at.x] * weight(p.b_at + at.y, at.z);
  }
  let to = p.c_at + base.w;
  if (p.add != 0) { sum += c[to]; }
  c[to] = sum;
}`,
};

/** Loops as the kernel is told them. */
export const wordsOf = (loops: readonly Loop[]) =>
  Int32Array.from(loops.flatMap(({ size, a, b, column, c }) => [size, a, b, column, c]));
