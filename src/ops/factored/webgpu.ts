import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { FactoredKernel } from "./index.ts";

/** Threads of a workgroup, and keys that it takes at a time, one for each. */
const THREADS = 64;

/**
 * A workgroup for each query and head: scores of a thread's key from its factors, then columns of the result from the factors of all
 * keys of the block, while maximum and sum are kept. Steps from token to token are 0 where a factor is the same for all.
 */
const factored: Shader = {
  name: "attendFactored",
  reads: { q: "f32", ak: "f32", bk: "f32", av: "f32", bv: "f32" },
  writes: { out: "f32" },
  numbers: {
    ...{ all: "u32", t: "u32", s: "u32", offset: "i32", window: "i32", scale: "f32" },
    ...{ ak_step: "u32", bk_step: "u32", av_step: "u32", bv_step: "u32" },
  },
  code: ({ H, E, V, R, P, CAUSAL, WINDOW }) => {
    const columns = Array.from({ length: Math.ceil(Number(V) / THREADS) }, (_, j) => j);
    return /* wgsl */ `
var<workgroup> weights: array<f32, ${THREADS}>;
var<workgroup> most: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.all) { return; }
  let head = number % ${H};
  let row = number / ${H};
  let b = row / p.t;
  let place = i32(row % p.t) + p.offset;
  let lo = ${WINDOW ? "max(0, place - p.window + 1)" : "0"};
  let hi = ${CAUSAL ? "min(i32(p.s), place + 1)" : "i32(p.s)"};
  let query = p.q_at + number * ${E};
  var top = -3.0e38;
  var total = 0.0;
  ${columns.map((j) => `var o${j} = 0.0;`).join(" ")}
  for (var n0 = lo; n0 < hi; n0 += ${THREADS}) {
    let key = b * p.s + u32(min(n0 + i32(thread), hi - 1));
    var x = 0.0;
    for (var r = 0u; r < ${R}; r++) {
      let at = p.bk_at + key * p.bk_step + r * ${E};
      var product = 0.0;
      for (var i = 0u; i < ${E}; i++) { product += q[query + i] * bk[at + i]; }
      x += ak[p.ak_at + key * p.ak_step + head * ${R} + r] * product;
    }
    let there = n0 + i32(thread) < hi;
    x = select(-3.0e38, x * p.scale, there);
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
      for (var r = 0u; r < ${P}; r++) {
        let part = w * av[p.av_at + from_key * p.av_step + head * ${P} + r];
        let at = p.bv_at + from_key * p.bv_step + r * ${V} + thread;
        ${columns.map((j) => `o${j} += part * bv[at + ${j * THREADS}];`).join(" ")}
      }
    }
    workgroupBarrier();
  }
  let factor = select(1 / total, 0.0, total == 0);
  ${columns.map((j) => `if (thread + ${j * THREADS} < ${V}) { out[p.out_at + number * ${V} + thread + ${j * THREADS}] = o${j} * factor; }`).join("\n  ")}
}`;
  },
};

export const factoredWebgpu: FactoredKernel = (call, out) => {
  if (out.size === 0) return;
  const { q, ak, bk, av, bv, batch, t, s, h, scale, causal, window } = call;
  const constants = {
    H: h,
    E: call.e,
    V: call.v,
    R: call.keyRank,
    P: call.valueRank,
    CAUSAL: causal,
    WINDOW: window > 0,
  };
  const step = (factor: Tensor) => (factor.shape.length === 3 ? factor.size / (batch * s) : 0);
  const steps = { ak_step: step(ak), bk_step: step(bk), av_step: step(av), bv_step: step(bv) };
  const all = batch * t * h;
  const numbers = { all, t, s, offset: s - t, window, scale, ...steps };
  (out.device as WebgpuDevice).launch(factored, constants, { q, ak, bk, av, bv, out }, numbers, groupsFor(all));
};
