import { Tensor } from "../../tensor/tensor.ts";
import type { WebgpuDevice } from "../webgpu.ts";
import type { Operand } from "./launcher.ts";
import { groupsFor, type Shader } from "./shader.ts";
import { exactSum } from "./sum.ts";

// Sums down the columns of something with many rows: the gradients of what all tokens share.

/** Columns of a workgroup, one for each of its threads, and rows that it goes through at most. */
const THREADS = 64;
const ROWS = 128;

/**
 * A shader that fills `out` with the sum over rows of `term`, WGSL for the number at `row` and `column`, in a fixed order and
 * rounded once; `before` are the functions that it calls. Launch it by `sumColumns`.
 */
export function columnShader(
  { name, reads, numbers = {} }: Partial<Shader> & Pick<Shader, "name" | "reads">,
  term: string,
  before = "",
): Shader {
  return {
    name,
    reads,
    writes: { out: "f32" },
    numbers: { rows: "u32", columns: "u32", blocks: "u32", pieces: "u32", zero: "u32", ...numbers },
    code: ({ PARTS }) => /* wgsl */ `${exactSum}${before}
fn termOf(row: u32, column: u32) -> f32 { return ${term}; }
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let block = line(group, groups);
  let piece = block / p.blocks;
  let column = block % p.blocks * ${THREADS} + thread;
  if (piece >= p.pieces || column >= p.columns) { return; }
  var sum = vec2f(0);
  for (var row = piece * ${ROWS}; row < min(p.rows, (piece + 1) * ${ROWS}); row++) { sum = plus(sum, termOf(row, column)); }
  let to = p.out_at + piece * p.columns + column;
  ${
    PARTS
      ? // What is lost stands in a second matrix: sums of many pieces are rounded once, too.
        "out[to] = sum.x; out[to + p.pieces * p.columns] = sum.y;"
      : "out[to] = sum.x + sum.y;"
  }
}`,
  };
}

/** Sums of pieces put together: `parts` is two matrices of them, the sums and what rounding lost. */
const join: Shader = {
  name: "columnPieces",
  reads: { parts: "f32" },
  writes: { out: "f32" },
  numbers: { pieces: "u32", columns: "u32", zero: "u32" },
  code: () => /* wgsl */ `${exactSum}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let column = line(group, groups) * ${THREADS} + thread;
  if (column >= p.columns) { return; }
  var sum = vec2f(0);
  for (var piece = 0u; piece < p.pieces; piece++) {
    let at = p.parts_at + piece * p.columns + column;
    sum = join(sum, vec2f(parts[at], parts[at + p.pieces * p.columns]));
  }
  out[p.out_at + column] = sum.x + sum.y;
}`,
};

/** Enqueues a column shader over `rows` rows; a column for each number of `out`. */
export function sumColumns(
  shader: Shader,
  operands: Readonly<Record<string, Operand | undefined>>,
  rows: number,
  out: Tensor,
  numbers: Readonly<Record<string, number>> = {},
): void {
  const device = out.device as WebgpuDevice;
  const columns = out.size;
  const [blocks, pieces] = [Math.ceil(columns / THREADS), Math.max(1, Math.ceil(rows / ROWS))];
  const all = { rows, columns, blocks, pieces, zero: 0, ...numbers };
  const groups = groupsFor(blocks * pieces);
  if (pieces === 1) {
    device.launch(shader, { PARTS: false }, { ...operands, out }, all, groups);
    return;
  }
  const parts = new Tensor(device, [2, pieces, columns]);
  device.launch(shader, { PARTS: true }, { ...operands, out: parts }, all, groups);
  device.launch(join, {}, { parts, out }, { pieces, columns, zero: 0 }, groupsFor(blocks));
  parts.free();
}
