import type { Shader } from "../../../device/gpu/shader.ts";
import { HIDDEN, NOTHING } from "./tile.wgsl.ts";

/** Threads of a workgroup, which puts one row together. */
const MERGERS = 64;
/** Pieces of a row at most. */
export const PIECES = 512;

/**
 * WGSL by which so many threads put a row of results over pieces of the keys together, each piece with its maximum and sum, in the order
 * of the pieces; a sink is one more key without a value. `shares` is memory of the workgroup; then `merged(i)` is number i of the row,
 * and `most` and `total` are there. Source: Dao et al., "FlashAttention" (2022), section 3.1.
 */
export const mergeCode = (threads: number, SINKS: unknown) => ({
  memory: `var<workgroup> shares: array<f32, ${PIECES}>;
fn merged(row: u32, i: u32) -> f32 {
  var sum = 0.0;
  for (var k = 0u; k < p.pieces; k++) { sum += parts[p.parts_at + (row * p.pieces + k) * (p.width + 2) + i] * shares[k]; }
  return sum;
}`,
  weigh: `let stride = p.width + 2;
  let last = p.parts_at + row * p.pieces * stride + p.width;
  var most = ${SINKS ? "sinks[p.sinks_at + row % p.h]" : HIDDEN};
  for (var k = 0u; k < p.pieces; k++) { most = max(most, parts[last + k * stride]); }
  var total = ${SINKS ? "exp(sinks[p.sinks_at + row % p.h] - most)" : "0.0"};
  for (var k = 0u; k < p.pieces; k++) { total += parts[last + k * stride + 1] * exp(parts[last + k * stride] - most); }
  for (var k = thread; k < p.pieces; k += ${threads}) {
    shares[k] = select(exp(parts[last + k * stride] - most) / total, 0.0, total == 0);
  }
  workgroupBarrier();`,
});

/** Rows of results over pieces put together, a workgroup for each. */
export const pieces: Shader = {
  name: "attendPieces",
  reads: { parts: "f32", sinks: "f32" },
  writes: { out: "f32", lse: "u32" },
  numbers: { rows: "u32", pieces: "u32", width: "u32", h: "u32" },
  code({ SINKS, LSE }) {
    const { memory, weigh } = mergeCode(MERGERS, SINKS);
    return /* wgsl */ `${memory}
@compute @workgroup_size(${MERGERS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  ${weigh}
  for (var i = thread; i < p.width; i += ${MERGERS}) { out[p.out_at + row * p.width + i] = merged(row, i); }
  ${LSE ? `if (thread == 0) { lse[p.lse_at + row] = select(bitcast<u32>(most + log(total)), ${NOTHING}, total == 0); }` : ""}
}`;
  },
};

/**
 * The same of a stick: from the newest piece back, each takes its share of what the newer ones left, and the own value row, which
 * stands behind the pieces, gets the remainder.
 */
export const sticks: Shader = {
  name: "attendSticks",
  reads: { parts: "f32" },
  writes: { out: "f32", lse: "f32" },
  numbers: { rows: "u32", pieces: "u32", width: "u32" },
  code: ({ REMAINDER, LSE }) => /* wgsl */ `
@compute @workgroup_size(${MERGERS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  let stride = p.width + 2;
  let at = p.parts_at + row * (p.pieces + ${REMAINDER ? 1 : 0}) * stride;
  var left = 1.0;
  for (var n = 0u; n < p.pieces; n++) { left *= parts[at + (p.pieces - 1 - n) * stride + p.width + 1]; }
  for (var i = thread; i < p.width; i += ${MERGERS}) {
    var sum = ${REMAINDER ? "left * parts[at + p.pieces * stride + i]" : "0.0"};
    var share = 1.0;
    for (var n = 0u; n < p.pieces; n++) {
      let piece = at + (p.pieces - 1 - n) * stride;
      sum += share * parts[piece + i];
      share *= parts[piece + p.width + 1];
    }
    out[p.out_at + row * p.width + i] = sum;
  }
  ${LSE ? "if (thread == 0) { lse[p.lse_at + row] = left; }" : ""}
}`,
};
