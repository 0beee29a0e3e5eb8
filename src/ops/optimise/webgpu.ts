import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { AdamwKernel, SquaresKernel } from "./index.ts";

/** Threads of a workgroup, and numbers that each of them adds up; of a share of few threads that know of each other more. */
const THREADS = 256;
const EACH = 32;
const MORE = 256;

/** A share of a sum: of squares, or of such shares. It is a workgroup's, or that of LANES threads of a subgroup, without barriers. */
const sum: Shader = {
  name: "squares",
  reads: { x: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", place: "u32" },
  code: ({ SQUARED, LANES, SUBGROUP }) => {
    const lanes = Number(LANES) || THREADS;
    const each = LANES ? MORE : EACH;
    const masks = Array.from({ length: Math.log2(lanes) }, (_, i) => 2 ** i);
    return /* wgsl */ `
${LANES ? "" : reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  let lane = thread % ${lanes};
  let id = line(group, groups) * ${THREADS / lanes} + thread / ${lanes};
  var own = 0.0;
  let begin = id * ${each * lanes};
  for (var i = begin + lane; i < min(p.size, begin + ${each * lanes}); i += ${lanes}) {
    let value = x[p.x_at + i];
    own += ${SQUARED ? "value * value" : "value"};
  }
  ${LANES ? masks.map((mask) => `own += subgroupShuffleXor(own, ${mask}u);`).join("\n  ") : "own = sum_of(thread, own);"}
  if (lane == 0 && id * ${each * lanes} < max(p.size, 1)) { out[p.out_at + p.place + id] = own; }
}`;
  },
};

export const squaresWebgpu: SquaresKernel = (x, out, at) => {
  const device = out.device as WebgpuDevice;
  const { subgroup } = device.traits;
  const LANES = subgroup ? Math.min(subgroup.least, 32) : 0;
  const share = LANES ? LANES * MORE : THREADS * EACH;
  let [left, squared] = [x, true];
  for (;;) {
    const shares = Math.max(1, Math.ceil(left.size / share));
    const to = shares === 1 ? out : new Tensor(device, [shares]);
    const numbers = { size: left.size, place: to === out ? at : 0 };
    const groups = groupsFor(Math.ceil((shares * (LANES || THREADS)) / THREADS));
    device.launch(sum, { SQUARED: squared, LANES }, { x: left.size ? left : undefined, out: to }, numbers, groups);
    if (left !== x) left.free();
    if (to === out) return;
    [left, squared] = [to, false];
  }
};

/** One step of AdamW. The norm of all gradients is found by every workgroup, or subgroup, for itself: there are but few sums. */
const adamw: Shader = {
  name: "adamw",
  reads: { g: "f32", squares: "f32" },
  writes: { parameter: "f32", first: "f32", second: "f32" },
  numbers: {
    ...{ size: "u32", count: "u32", clip: "u32", most: "f32", rate: "f32", eps: "f32", keep: "f32" },
    ...{ beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", correction1: "f32", correction2: "f32" },
  },
  code: ({ SUBGROUP }) => /* wgsl */ `
${SUBGROUP ? "" : reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  var own = 0.0;
  for (var i = ${SUBGROUP ? "subgroup_thread" : "thread"}; i < p.count; i += ${SUBGROUP ? "subgroup_threads" : THREADS}) {
    own += squares[p.squares_at + i];
  }
  let norm = sqrt(${SUBGROUP ? "subgroupAdd(own)" : "sum_of(thread, own)"});
  let scale = select(1.0, p.most / norm, p.clip != 0 && norm > p.most);
  let i = line(group, groups) * ${THREADS} + thread;
  if (i >= p.size) { return; }
  let gradient = g[p.g_at + i] * scale;
  let m = p.beta1 * first[p.first_at + i] + p.rest1 * gradient;
  let v = p.beta2 * second[p.second_at + i] + p.rest2 * gradient * gradient;
  first[p.first_at + i] = m;
  second[p.second_at + i] = v;
  let update = m * p.correction1 / (sqrt(v * p.correction2) + p.eps);
  parameter[p.parameter_at + i] = parameter[p.parameter_at + i] * p.keep - p.rate * update;
}`,
};

export const adamwWebgpu: AdamwKernel = (parameter, g, first, second, squares, step) => {
  const { rate, eps, decay, beta1, beta2, maxNorm } = step;
  const clip = Number.isFinite(maxNorm);
  const numbers = {
    ...{ size: parameter.size, count: squares.size, clip: clip ? 1 : 0, most: clip ? maxNorm : 0 },
    ...{ rate, eps, keep: 1 - rate * decay, beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2 },
    ...{ correction1: 1 / step.correction1, correction2: 1 / step.correction2 },
  };
  const operands = { g, squares, parameter, first, second };
  const groups = groupsFor(Math.ceil(parameter.size / THREADS));
  (parameter.device as WebgpuDevice).launch(adamw, {}, operands, numbers, groups);
};
