import type { Operand } from "../../device/gpu/launcher.ts";
import { lend } from "../../device/gpu/lend.ts";
import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { ShapeError } from "../../tensor/error.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { weightOf } from "../einsum/webgpu.ts";
import { weightCode, weightNumbers } from "../packed/weight.wgsl.ts";
import type { GatherKernel, Indices, ScatterKernel } from "./index.ts";

/** Threads of a workgroup, each with a column of a row. */
const THREADS = 64;

const numbers = { count: "u32", width: "u32", per_part: "u32", rows: "u32" } as const;

/** WGSL: the row of the table that index i names, as in `Indices`; -1 for a negative one, -2 beyond the table. */
const rowCode = /* wgsl */ `
fn row_of(i: u32) -> i32 {
  let number = i32(indices[p.indices_at + i]);
  if (number < 0) { return -1; }
  return select(-2, i32(i / p.per_part * p.rows) + number, number < i32(p.rows));
}`;

/** A row of the table for each index, `step` words apart in it, plain or packed. The table's rows `low` to `high` are there. */
const shaders = (on: "f32" | "i32"): Shader => ({
  name: `gather by ${on}`,
  reads: { b: "u32", indices: on },
  writes: { out: "f32" },
  numbers: { ...numbers, low: "u32", high: "u32", step: "u32", none: "u32", ...weightNumbers },
  code: ({ FORMAT }) => /* wgsl */ `
${weightCode(FORMAT as PackedFormat)}
${rowCode}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let pieces = (p.width + ${THREADS - 1}) / ${THREADS};
  let i = line(group, groups) / pieces;
  let column = line(group, groups) % pieces * ${THREADS} + thread;
  if (i >= p.count || column >= p.width) { return; }
  let row = row_of(i);
  if (row >= 0 && (u32(row) < p.low || u32(row) >= p.high)) { return; }
  var value = 0.0;
  if (row >= 0) { value = weight(p.b_at + (u32(row) - p.low) * p.step, column); }
  if (row == -2) { value = bitcast<f32>(p.none); }
  out[p.out_at + i * p.width + column] = value;
}`,
});
const gathers = { f32: shaders("f32"), i32: shaders("i32") };

/**
 * Sums of rows that go to one place, in their order: the workgroups of the first index that names a row add up all of them, those of
 * later ones have nothing to do.
 */
const scattering = (on: "f32" | "i32"): Shader => ({
  name: `scatter by ${on}`,
  reads: { g: "f32", indices: on },
  writes: { out: "f32" },
  numbers,
  code: () => /* wgsl */ `
${rowCode}
var<workgroup> later: atomic<u32>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let pieces = (p.width + ${THREADS - 1}) / ${THREADS};
  let first = line(group, groups) / pieces;
  let column = line(group, groups) % pieces * ${THREADS} + thread;
  if (first >= p.count) { return; }
  let row = row_of(first);
  if (row < 0) { return; }
  if (thread == 0) { atomicStore(&later, 0u); }
  workgroupBarrier();
  for (var i = thread; i < first; i += ${THREADS}) { if (row_of(i) == row) { atomicStore(&later, 1u); } }
  workgroupBarrier();
  if (atomicLoad(&later) == 1 || column >= p.width) { return; }
  let at = p.out_at + u32(row) * p.width + column;
  var sum = out[at];
  for (var i = first; i < p.count; i++) {
    if (row_of(i) == row) { sum += g[p.g_at + i * p.width + column]; }
  }
  out[at] = sum;
}`,
});
const scatters = { f32: scattering("f32"), i32: scattering("i32") };

export const gatherWebgpu: GatherKernel = (table, indices, out) => {
  const { packing } = table;
  if (packing && (packing.rows.length > 1 || packing.rows[0] !== 0))
    throw new ShapeError(`gather: got a packed [${table.shape}], expected one whose rows its first axis numbers`);
  const { b, format, upper, scales } = weightOf(table);
  const all = table.shape[0]!;
  const step = all ? b.size / all : 0;
  const device = out.device as WebgpuDevice;
  // A table longer than a binding may be is gone through some rows at a time.
  const count = Math.max(1, Math.min(all, Math.floor(device.traits.binding / (4 * Math.max(1, step)))));
  for (let low = 0; low === 0 || low < all; low += count) {
    const high = Math.min(all, low + count);
    const part = { block: b.block, start: b.start + low * step, size: (high - low) * step };
    const numbers = { upper, scales, step, low, high, none: 0x7fc00000 };
    launchFor(gathers, { b: part, out }, table, out, indices, { FORMAT: format }, numbers);
  }
};

export const scatterWebgpu: ScatterKernel = (g, indices, out) =>
  launchFor(scatters, { g, out }, out, g, indices, {}, {});

/** `each` has a row for each index, `table` those that indices name. */
function launchFor(
  shaders: Readonly<Record<"f32" | "i32", Shader>>,
  operands: Readonly<Record<string, Operand>>,
  table: Tensor,
  each: Tensor,
  { rows, count, parts }: Indices,
  constants: Readonly<Record<string, string>>,
  more: Readonly<Record<string, number>>,
): void {
  if (each.size === 0) return;
  const width = each.size / count;
  const device = each.device as WebgpuDevice;
  const numbers = { count, width, per_part: count / parts, rows: table.shape[0]! / parts, ...more };
  const groups = groupsFor(count * Math.ceil(width / THREADS));
  const launch = (shader: Shader, indices: Operand) =>
    device.launch(shader, constants, { ...operands, indices }, numbers, groups);
  if (rows instanceof Int32Array) lend(device, rows, (indices) => launch(shaders.i32, indices));
  else launch(shaders.f32, rows);
}
