import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { reductions } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { AdamwKernel, SquaresKernel } from "./index.ts";

/** Threads of a workgroup, and numbers that each of them adds up. */
const THREADS = 256;
const EACH = 32;

/** A workgroup's share of a sum: of squares, or of such shares. */
const sum: Shader = {
  name: "squares",
  reads: { x: "f32" },
  writes: { out: "f32" },
  numbers: { size: "u32", place: "u32" },
  code: ({ SQUARED, SUBGROUP }) => /* wgsl */ `
${reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  let id = line(group, groups);
  var own = 0.0;
  for (var j = 0u; j < ${EACH}; j++) {
    let i = (id * ${EACH} + j) * ${THREADS} + thread;
    if (i < p.size) {
      let value = x[p.x_at + i];
      own += ${SQUARED ? "value * value" : "value"};
    }
  }
  let all = sum_of(thread, own);
  if (thread == 0 && id * ${EACH * THREADS} < max(p.size, 1)) { out[p.out_at + p.place + id] = all; }
}`,
};

export const squaresWebgpu: SquaresKernel = (x, out, at) => {
  const device = out.device as WebgpuDevice;
  let [left, squared] = [x, true];
  for (;;) {
    const groups = Math.max(1, Math.ceil(left.size / (THREADS * EACH)));
    const to = groups === 1 ? out : new Tensor(device, [groups]);
    const numbers = { size: left.size, place: to === out ? at : 0 };
    device.launch(sum, { SQUARED: squared }, { x: left.size ? left : undefined, out: to }, numbers, groupsFor(groups));
    if (left !== x) left.free();
    if (to === out) return;
    [left, squared] = [to, false];
  }
};

/** One step of AdamW. The norm of all gradients is found by every workgroup for itself: there are but few sums. */
const adamw: Shader = {
  name: "adamw",
  reads: { g: "f32", squares: "f32" },
  writes: { parameter: "f32", first: "f32", second: "f32" },
  numbers: {
    ...{ size: "u32", count: "u32", clip: "u32", most: "f32", rate: "f32", eps: "f32", keep: "f32" },
    ...{ beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", correction1: "f32", correction2: "f32" },
  },
  code: ({ SUBGROUP }) => /* wgsl */ `
${reductions(THREADS, SUBGROUP)}
${mainOf(THREADS, SUBGROUP)}
  var own = 0.0;
  for (var i = thread; i < p.count; i += ${THREADS}) { own += squares[p.squares_at + i]; }
  let norm = sqrt(sum_of(thread, own));
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
