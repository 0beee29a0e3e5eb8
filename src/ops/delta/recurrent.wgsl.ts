import { exponential } from "../../device/gpu/function.ts";
import type { Shader } from "../../device/gpu/shader.ts";
import { CHUNK } from "./chunk.ts";

/** Columns of a state that a workgroup takes, and threads that share the rows of each. */
export const COLUMNS = 16;
export const LANES = 8;
const THREADS = COLUMNS * LANES;

/**
 * Token by token. Columns of a state do not depend on each other: a workgroup has a few of one head's and keeps them in registers, a
 * thread ROWS numbers of one. S^T k and S^T q are both taken of the decayed state, so that one sum over the rows serves both:
 * after S <- S + k u^T, S^T q has grown by (k . q) u.
 */
export const recurrent: Shader = {
  name: "deltaRecurrent",
  reads: { q: "f32", k: "f32", v: "f32", beta: "f32", decay: "f32" },
  writes: { out: "f32", memory: "f32", states: "f32" },
  numbers: {
    ...{ t: "u32", g: "u32", h: "u32", n: "u32", width: "u32", chunks: "u32" },
    ...{ scale: "f32", blocks: "u32", jobs: "u32" },
  },
  code: ({ ROWS, DECAY, START, FINAL, STATES }) => /* wgsl */ `${exponential}
const N = ${LANES * Number(ROWS)}u;
// Of a token: key, query and decay of every row, filled up with zeros.
var<workgroup> keys: array<f32, N>;
var<workgroup> queries: array<f32, N>;
${DECAY === "channel" ? "var<workgroup> decays: array<f32, N>;" : ""}
// S^T k, S^T q and k . q of the rows of each thread.
var<workgroup> parts: array<vec3f, ${THREADS}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let job = line(group, groups);
  if (job >= p.jobs) { return; }
  let which = job / p.blocks;
  let sequence = which / p.h;
  let head = which % p.h;
  let column = job % p.blocks * ${COLUMNS} + thread % ${COLUMNS};
  let lane = thread / ${COLUMNS};
  let within = column < p.width;
  var S = array<f32, ${ROWS}>();
  ${
    START
      ? /* wgsl */ `for (var r = 0u; r < ${ROWS}; r++) {
    let row = lane + r * ${LANES};
    if (within && row < p.n) { S[r] = memory[p.memory_at + (which * p.n + row) * p.width + column]; }
  }`
      : ""
  }
  for (var i = 0u; i < p.t; i++) {
    let token = sequence * p.t + i;
    let at = token * p.h + head;
    let key = (token * p.g + head * p.g / p.h) * p.n;
    ${
      STATES
        ? /* wgsl */ `if (i % ${CHUNK} == 0) {
      for (var r = 0u; r < ${ROWS}; r++) {
        let row = lane + r * ${LANES};
        if (within && row < p.n) {
          states[p.states_at + ((which * p.chunks + i / ${CHUNK}) * p.n + row) * p.width + column] = S[r];
        }
      }
    }`
        : ""
    }
    for (var c = thread; c < N; c += ${THREADS}) {
      var x = vec3f(0);
      if (c < p.n) {
        x = vec3f(k[p.k_at + key + c], q[p.q_at + key + c], ${DECAY === "channel" ? "expOf(decay[p.decay_at + at * p.n + c])" : "0"});
      }
      keys[c] = x.x;
      queries[c] = x.y;
      ${DECAY === "channel" ? "decays[c] = x.z;" : ""}
    }
    workgroupBarrier();
    ${DECAY === "head" ? "let kept = expOf(decay[p.decay_at + at]);" : ""}
    var part = vec3f(0);
    for (var r = 0u; r < ${ROWS}; r++) {
      let row = lane + r * ${LANES};
      ${DECAY === "channel" ? "S[r] *= decays[row];" : DECAY === "head" ? "S[r] *= kept;" : ""}
      part += vec3f(S[r] * keys[row], S[r] * queries[row], keys[row] * queries[row]);
    }
    parts[thread] = part;
    workgroupBarrier();
    var sums = vec3f(0);
    for (var l = 0u; l < ${LANES}; l++) { sums += parts[l * ${COLUMNS} + thread % ${COLUMNS}]; }
    var own = 0.0;
    if (within) { own = v[p.v_at + at * p.width + column]; }
    let u = beta[p.beta_at + at] * (own - sums.x);
    for (var r = 0u; r < ${ROWS}; r++) { S[r] += keys[lane + r * ${LANES}] * u; }
    if (lane == 0 && within) { out[p.out_at + at * p.width + column] = p.scale * (sums.y + sums.z * u); }
    workgroupBarrier();
  }
  ${
    FINAL
      ? /* wgsl */ `for (var r = 0u; r < ${ROWS}; r++) {
    let row = lane + r * ${LANES};
    if (within && row < p.n) { memory[p.memory_at + (which * p.n + row) * p.width + column] = S[r]; }
  }`
      : ""
  }
}`,
};
