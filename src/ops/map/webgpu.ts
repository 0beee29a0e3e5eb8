import { eachShader, launchEach } from "../../device/gpu/each.ts";
import { functions } from "../../device/gpu/function.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { MapBackwardKernel, MapKernel, Mapping } from "./index.ts";
import { values } from "./value.wgsl.ts";

/** Derivatives, of what `from` is (see MapBackwardKernel). */
const slopes: Readonly<Record<Mapping, string>> = {
  sigmoid: "x * (1.0 - x)",
  silu: "sigmoidOf(x) * (1.0 + x * (1.0 - sigmoidOf(x)))",
  softplus: "sigmoidOf(x)",
  logSigmoid: "sigmoidOf(-x)",
  exp: "x",
  relu: "select(0.0, 1.0, x > 0)",
  tanh: "1.0 - x * x",
};

const forward = eachShader(
  { name: "map", reads: { a: "f32" }, writes: { out: "f32" } },
  ({ BY }) => /* wgsl */ `
  let x = a[p.a_at + i];
  out[p.out_at + i] = ${values[BY as Mapping]};`,
  functions,
);

const backward = eachShader(
  { name: "mapBackward", reads: { a: "f32", g: "f32" }, writes: { dx: "f32" } },
  ({ BY }) => /* wgsl */ `
  let x = a[p.a_at + i];
  dx[p.dx_at + i] = g[p.g_at + i] * (${slopes[BY as Mapping]});`,
  functions,
);

export const mapWebgpu: MapKernel = (x, by, out) =>
  launchEach(out.device as WebgpuDevice, forward, { BY: by }, { a: x, out }, out.size);

export const mapBackwardWebgpu: MapBackwardKernel = (from, by, g, dx) =>
  launchEach(dx.device as WebgpuDevice, backward, { BY: by }, { a: from, g, dx }, dx.size);
