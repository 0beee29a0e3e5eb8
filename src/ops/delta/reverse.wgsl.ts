import { eachShader } from "../../device/gpu/each.ts";
import { exponential } from "../../device/gpu/function.ts";
import type { Constants, Shader } from "../../device/gpu/shader.ts";
import { CHUNK } from "./chunk.ts";

// The gradient, one chunk at a time from last to first, in three steps: `remember` runs the chunk's tokens again and keeps each
// one's decayed state, `reverse` takes the gradient of the state back past them, and `gather` sums what columns and heads that
// share a key head found. A workgroup has a few columns of one head's state, a thread ROWS of its rows.

/** Columns that a workgroup takes. */
export const WIDE = 8;

/**
 * Where things lie in `work`, for `heads` heads of the chunk's launches: the gradient of the state; every token's decayed state;
 * what it misses of the token's value; and for every block of columns what each token's dq, dk, decays (n each) and beta receive.
 */
export function layoutOf(heads: number, n: number, width: number) {
  const blocks = Math.ceil(width / WIDE);
  const each = 3 * n + 1;
  const states = heads * n * width;
  const missing = states * (1 + CHUNK);
  const found = missing + heads * CHUNK * width;
  return { blocks, each, states, missing, found, size: found + blocks * heads * CHUNK * each };
}

const numbers: Shader["numbers"] = {
  ...{ t: "u32", g: "u32", h: "u32", n: "u32", width: "u32", scale: "f32" },
  ...{ chunk: "u32", chunks: "u32", first: "u32", heads: "u32", blocks: "u32", each: "u32" },
  ...{ decayed: "u32", missing: "u32", found: "u32" },
};

/** What both kernels begin with: this workgroup's head and columns, and a sum over all rows for each of its columns. */
const start = ({ THREADS }: Constants) => /* wgsl */ `${exponential}
var<workgroup> parts: array<f32, ${WIDE * Number(THREADS)}>;
/** Sums each column's numbers over all threads, in a fixed order. */
fn sumRows(own: array<f32, ${WIDE}>, thread: u32) -> array<f32, ${WIDE}> {
  for (var j = 0u; j < ${WIDE}; j++) { parts[thread * ${WIDE} + j] = own[j]; }
  workgroupBarrier();
  for (var s = ${(WIDE * Number(THREADS)) / 2}u; s >= ${WIDE}; s /= 2) {
    for (var i = thread; i < s; i += ${THREADS}) { parts[i] += parts[i + s]; }
    workgroupBarrier();
  }
  var sums = array<f32, ${WIDE}>();
  for (var j = 0u; j < ${WIDE}; j++) { sums[j] = parts[j]; }
  workgroupBarrier();
  return sums;
}`;

const opening = ({ THREADS }: Constants) => /* wgsl */ `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let job = line(group, groups);
  if (job >= p.heads * p.blocks) { return; }
  let local = job / p.blocks;
  let block = job % p.blocks;
  let which = p.first + local;
  let sequence = which / p.h;
  let head = which % p.h;
  let column = block * ${WIDE};
  let columns = min(${WIDE}u, p.width - column);
  let begin = p.chunk * ${CHUNK};
  let length = min(${CHUNK}u, p.t - begin);`;

/** A token's places in the inputs. */
const places = /* wgsl */ `
    let token = sequence * p.t + begin + i;
    let at = token * p.h + head;
    let key = (token * p.g + head * p.g / p.h) * p.n;
    let rate = beta[p.beta_at + at];`;

/** exp(decay) of row c. */
const decayOf = ({ DECAY }: Constants) =>
  DECAY === "none" ? "1.0" : `expOf(decay[p.decay_at + at${DECAY === "channel" ? " * p.n + c" : ""}])`;

export const remember: Shader = {
  name: "deltaRemember",
  reads: { k: "f32", v: "f32", beta: "f32", decay: "f32", states: "f32" },
  writes: { work: "f32" },
  numbers,
  code: (constants) => /* wgsl */ `${start(constants)}${opening(constants)}
  var S = array<f32, ${Number(constants.ROWS) * WIDE}>();
  for (var r = 0u; r < ${constants.ROWS}; r++) {
    let c = thread + r * ${constants.THREADS};
    for (var j = 0u; j < ${WIDE}; j++) {
      if (c < p.n && j < columns) {
        S[r * ${WIDE} + j] = states[p.states_at + ((which * p.chunks + p.chunk) * p.n + c) * p.width + column + j];
      }
    }
  }
  for (var i = 0u; i < length; i++) {${places}
    var own = array<f32, ${WIDE}>();
    for (var r = 0u; r < ${constants.ROWS}; r++) {
      let c = thread + r * ${constants.THREADS};
      if (c >= p.n) { continue; }
      let kept = ${decayOf(constants)};
      let x = k[p.k_at + key + c];
      for (var j = 0u; j < columns; j++) {
        let now = S[r * ${WIDE} + j] * kept;
        S[r * ${WIDE} + j] = now;
        work[p.work_at + p.decayed + ((local * ${CHUNK} + i) * p.n + c) * p.width + column + j] = now;
        own[j] += now * x;
      }
    }
    var u = sumRows(own, thread);
    for (var j = 0u; j < columns; j++) {
      u[j] = v[p.v_at + at * p.width + column + j] - u[j];
      if (thread == 0) { work[p.work_at + p.missing + (local * ${CHUNK} + i) * p.width + column + j] = u[j]; }
      u[j] *= rate;
    }
    for (var r = 0u; r < ${constants.ROWS}; r++) {
      let c = thread + r * ${constants.THREADS};
      if (c >= p.n) { continue; }
      for (var j = 0u; j < columns; j++) { S[r * ${WIDE} + j] += k[p.k_at + key + c] * u[j]; }
    }
  }
}`,
};

/**
 * With dS the gradient of the state after a token: dS += scale q g^T; du = dS^T k; dv = beta du; dbeta = du . missing;
 * dk = dS u - S' dv; dS' = dS - k dv^T; d decay = rows of dS' * S' summed, S' being the decayed state.
 */
export const reverse: Shader = {
  name: "deltaReverse",
  reads: { q: "f32", k: "f32", beta: "f32", decay: "f32", g: "f32" },
  writes: { work: "f32", dv: "f32" },
  numbers,
  code: (constants) => /* wgsl */ `${start(constants)}${opening(constants)}
  var dS = array<f32, ${Number(constants.ROWS) * WIDE}>();
  if (p.chunk + 1 < p.chunks) {
    for (var r = 0u; r < ${constants.ROWS}; r++) {
      let c = thread + r * ${constants.THREADS};
      for (var j = 0u; j < ${WIDE}; j++) {
        if (c < p.n && j < columns) { dS[r * ${WIDE} + j] = work[p.work_at + (local * p.n + c) * p.width + column + j]; }
      }
    }
  }
  for (var back = 0u; back < length; back++) {
    let i = length - 1 - back;${places}
    var dout = array<f32, ${WIDE}>();
    var missing = array<f32, ${WIDE}>();
    for (var j = 0u; j < columns; j++) {
      dout[j] = p.scale * g[p.g_at + at * p.width + column + j];
      missing[j] = work[p.work_at + p.missing + (local * ${CHUNK} + i) * p.width + column + j];
    }
    var own = array<f32, ${WIDE}>();
    for (var r = 0u; r < ${constants.ROWS}; r++) {
      let c = thread + r * ${constants.THREADS};
      if (c >= p.n) { continue; }
      let x = q[p.q_at + key + c];
      let y = k[p.k_at + key + c];
      for (var j = 0u; j < columns; j++) {
        let now = dS[r * ${WIDE} + j] + x * dout[j];
        dS[r * ${WIDE} + j] = now;
        own[j] += now * y;
      }
    }
    let du = sumRows(own, thread);
    let to = p.work_at + p.found + ((block * p.heads + local) * ${CHUNK} + i) * p.each;
    if (thread == 0) {
      var dbeta = 0.0;
      for (var j = 0u; j < columns; j++) {
        ${constants.DV ? "dv[p.dv_at + at * p.width + column + j] = rate * du[j];" : ""}
        dbeta += du[j] * missing[j];
      }
      work[to + 3 * p.n] = dbeta;
    }
    for (var r = 0u; r < ${constants.ROWS}; r++) {
      let c = thread + r * ${constants.THREADS};
      if (c >= p.n) { continue; }
      let kept = ${decayOf(constants)};
      let y = k[p.k_at + key + c];
      var found = vec3f(0);
      for (var j = 0u; j < columns; j++) {
        let before = work[p.work_at + p.decayed + ((local * ${CHUNK} + i) * p.n + c) * p.width + column + j];
        let down = rate * du[j];
        let now = dS[r * ${WIDE} + j];
        let left = now - y * down;
        found += vec3f((before + y * rate * missing[j]) * dout[j], now * rate * missing[j] - before * down, left * before);
        dS[r * ${WIDE} + j] = left * kept;
      }
      work[to + c] = found.x;
      work[to + p.n + c] = found.y;
      work[to + 2 * p.n + c] = found.z;
    }
  }
  for (var r = 0u; r < ${constants.ROWS}; r++) {
    let c = thread + r * ${constants.THREADS};
    if (c >= p.n) { continue; }
    for (var j = 0u; j < columns; j++) { work[p.work_at + (local * p.n + c) * p.width + column + j] = dS[r * ${WIDE} + j]; }
  }
}`,
};

/**
 * Sums a chunk's findings over the blocks of columns, over `sharing` heads, and over `inner` numbers that stand one after the
 * other: of each token `width` for each of `own` heads, which lie in `out` among `all`.
 */
export const gather = eachShader(
  {
    name: "deltaGather",
    reads: { work: "f32" },
    writes: { out: "f32" },
    numbers: {
      ...{
        found: "u32",
        blocks: "u32",
        heads: "u32",
        each: "u32",
        t: "u32",
        begin: "u32",
        length: "u32",
        first: "u32",
      },
      ...{ all: "u32", own: "u32", sharing: "u32", width: "u32", inner: "u32" },
    },
  },
  () => /* wgsl */ `
  let c = i % p.width;
  let head = i / p.width % p.own;
  let token = i / (p.width * p.own);
  var sum = 0.0;
  for (var block = 0u; block < p.blocks; block++) {
    for (var s = 0u; s < p.sharing; s++) {
      let local = head * p.sharing + s;
      let place = p.work_at + p.found + ((block * p.heads + local) * ${CHUNK} + token) * p.each + c * p.inner;
      for (var k = 0u; k < p.inner; k++) { sum += work[place + k]; }
    }
  }
  let which = p.first + head;
  let row = which / p.all * p.t + p.begin + token;
  out[p.out_at + (row * p.all + which % p.all) * p.width + c] = sum;`,
);
