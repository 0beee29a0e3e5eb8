import { eachShader, launchEach } from "../../device/gpu/each.ts";
import { logistic } from "../../device/gpu/function.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { GateBackwardKernel, GateKernel } from "./index.ts";

const forward = eachShader(
  { name: "gate", reads: { a: "f32", b: "f32" }, writes: { out: "f32" } },
  () => /* wgsl */ `
  let x = a[p.a_at + i];
  out[p.out_at + i] = x / (1.0 + expOf(-x)) * b[p.b_at + i];`,
  logistic,
);

/** silu'(x) = s (1 + x (1 - s)). */
const backward = eachShader(
  { name: "gateBackward", reads: { a: "f32", b: "f32", g: "f32" }, writes: { da: "f32", db: "f32" } },
  () => /* wgsl */ `
  let x = a[p.a_at + i];
  let dout = g[p.g_at + i];
  let s = sigmoidOf(x);
  da[p.da_at + i] = dout * b[p.b_at + i] * s * (1.0 + x * (1.0 - s));
  db[p.db_at + i] = dout * x * s;`,
  logistic,
);

export const gateWebgpu: GateKernel = (a, b, out) =>
  launchEach(out.device as WebgpuDevice, forward, {}, { a, b, out }, out.size);

export const gateBackwardWebgpu: GateBackwardKernel = (a, b, g, da, db) =>
  launchEach(g.device as WebgpuDevice, backward, {}, { a, b, g, da, db }, g.size);
