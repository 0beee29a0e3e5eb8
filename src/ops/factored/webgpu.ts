import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Reading, type Rows, read } from "../attend/gpu/read.wgsl.ts";
import { HIDDEN, shaderOf } from "../attend/gpu/tile.wgsl.ts";
import type { FactoredCall, FactoredKernel } from "./index.ts";

/** Threads of a workgroup, and keys that it takes at a time, one for each. */
const THREADS = 64;

/**
 * A workgroup for each query and head: scores of a thread's key from its factors, then columns of the result from the factors of all
 * keys of the block, while maximum and sum are kept. Factors are read where they lie; one that is the same for all tokens is one row.
 */
function shaderFor({ h, e, v, keyRank, valueRank, causal, window, ...of }: FactoredCall, reading: Reading): Shader {
  const fixed = [of.ak, of.bk, of.av, of.bv].map(isFixed);
  const key = JSON.stringify([reading.key, h, e, v, keyRank, valueRank, causal, window > 0, fixed]);
  const columns = Array.from({ length: Math.ceil(v / THREADS) }, (_, j) => j);
  const row = (i: number, token: string) => (fixed[i] ? "0u" : token);
  const code = () => /* wgsl */ `${reading.code}
var<workgroup> weights: array<f32, ${THREADS}>;
var<workgroup> most: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.all) { return; }
  let head = number % ${h};
  let row = number / ${h};
  let b = row / p.t;
  let place = i32(row % p.t) + p.offset;
  let lo = ${window ? "max(0, place - p.window + 1)" : "0"};
  let hi = ${causal ? "min(i32(p.s), place + 1)" : "i32(p.s)"};
  var top = f32(${HIDDEN});
  var total = 0.0;
  ${columns.map((j) => `let column${j} = min(thread + ${j * THREADS}, ${v - 1}u);\n  var o${j} = 0.0;`).join("\n  ")}
  for (var n0 = lo; n0 < hi; n0 += ${THREADS}) {
    let key = b * p.s + u32(min(n0 + i32(thread), hi - 1));
    var x = 0.0;
    for (var r = 0u; r < ${keyRank}; r++) {
      var product = 0.0;
      for (var i = 0u; i < ${Math.ceil(e / 4)}; i++) { product += dot(q(row, head, i), bk(${row(1, "key")}, r, i)); }
      x += ak(${row(0, "key")}, head, r / 4)[r % 4] * product;
    }
    let there = n0 + i32(thread) < hi;
    x = select(${HIDDEN}, x * p.scale, there);
    most[thread] = x;
    for (var half = ${THREADS / 2}u; half > 0; half /= 2) {
      workgroupBarrier();
      if (thread < half) { most[thread] = max(most[thread], most[thread + half]); }
    }
    workgroupBarrier();
    let peak = max(top, most[0]);
    let shrink = exp(top - peak);
    top = peak;
    weights[thread] = select(0.0, exp(x - peak), there);
    workgroupBarrier();
    total *= shrink;
    ${columns.map((j) => `o${j} *= shrink;`).join(" ")}
    for (var c = 0u; c < u32(min(${THREADS}, hi - n0)); c++) {
      let from_key = b * p.s + u32(n0) + c;
      let w = weights[c];
      total += w;
      for (var r = 0u; r < ${valueRank}; r++) {
        let part = w * av(${row(2, "from_key")}, head, r / 4)[r % 4];
        ${columns.map((j) => `o${j} += part * bv(${row(3, "from_key")}, r, column${j} / 4)[column${j} % 4];`).join(" ")}
      }
    }
    workgroupBarrier();
  }
  let factor = select(p.times / total, 0.0, total == 0);
  ${columns.map((j) => `if (thread + ${j * THREADS} < ${v}) { out[p.out_at + number * ${v} + column${j}] = o${j} * factor; }`).join("\n  ")}
}`;
  return shaderOf("attendFactored", key, () => ({
    reads: reading.reads,
    writes: { out: "f32" },
    numbers: {
      ...reading.numbers,
      ...{ all: "u32", t: "u32", s: "u32", offset: "i32", window: "i32", scale: "f32", times: "f32" },
    },
    code,
  }));
}

const isFixed = ({ shape }: Tensor) => shape.length === 2;

export const factoredWebgpu: FactoredKernel = (call, out) => {
  if (out.size === 0) return;
  const device = out.device as WebgpuDevice;
  const { batch, t, s, h, e, v, keyRank, valueRank, scale, times, window } = call;
  const rows: readonly Rows[] = [
    { name: "q", x: call.q, e, g: h },
    { name: "ak", x: call.ak, e: keyRank, g: h },
    { name: "bk", x: call.bk, e, g: keyRank },
    { name: "av", x: call.av, e: valueRank, g: h },
    { name: "bv", x: call.bv, e: v, g: valueRank },
  ];
  const reading = read(device, rows, {}, device.traits.bindings - 1);
  const all = batch * t * h;
  const numbers = { ...reading.given, all, t, s, offset: s - t, window, scale, times };
  device.launch(shaderFor(call, reading), {}, { ...reading.operands, out }, numbers, groupsFor(all));
  reading.free();
};
