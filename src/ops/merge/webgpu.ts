import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { MergeKernel } from "./index.ts";

/** Threads of a workgroup, which merges one row. */
const THREADS = 64;

/** Results of parts one after the other; the log of a part over nothing is looked at as bits, since compilers may assume no infinity. */
const mergeRows: Shader = {
  name: "merge",
  reads: { outs: "f32", logs: "u32" },
  writes: { out: "f32", lse: "u32" },
  numbers: { rows: "u32", width: "u32", count: "u32" },
  code: () => /* wgsl */ `
const NOTHING = 0xff800000u;
fn log_of(k: u32, row: u32) -> u32 { return logs[p.logs_at + k * p.rows + row]; }
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  var most = -3.0e38;
  for (var k = 0u; k < p.count; k++) {
    let bits = log_of(k, row);
    if (bits != NOTHING) { most = max(most, bitcast<f32>(bits)); }
  }
  var total = 0.0;
  for (var k = 0u; k < p.count; k++) {
    let bits = log_of(k, row);
    if (bits != NOTHING) { total += exp(bitcast<f32>(bits) - most); }
  }
  for (var i = thread; i < p.width; i += ${THREADS}) {
    var sum = 0.0;
    for (var k = 0u; k < p.count; k++) {
      let bits = log_of(k, row);
      if (bits != NOTHING) { sum += exp(bitcast<f32>(bits) - most) / total * outs[p.outs_at + (k * p.rows + row) * p.width + i]; }
    }
    out[p.out_at + row * p.width + i] = sum;
  }
  if (thread == 0) { lse[p.lse_at + row] = select(bitcast<u32>(most + log(total)), NOTHING, total == 0); }
}`,
};

export const mergeWebgpu: MergeKernel = (parts, { out, lse }) => {
  if (out.size === 0) return;
  const device = out.device as WebgpuDevice;
  const [outs, logs] = [out, lse].map(({ size }) => new Tensor(device, [parts.length, size])) as [Tensor, Tensor];
  parts.forEach((part, k) => {
    device.copy(part.out, outs.rows(k, k + 1));
    device.copy(part.lse, logs.rows(k, k + 1));
  });
  const numbers = { rows: lse.size, width: out.shape.at(-1)!, count: parts.length };
  device.launch(mergeRows, {}, { outs, logs, out, lse }, numbers, groupsFor(lse.size));
  outs.free();
  logs.free();
};
