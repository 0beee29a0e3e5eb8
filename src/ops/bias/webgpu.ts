import { columnShader, sumColumns } from "../../device/gpu/column.ts";
import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { BiasGradientKernel, BiasKernel } from "./index.ts";

const sum = eachShader(
  { name: "bias", reads: { x: "f32", bias: "f32" }, writes: { out: "f32" }, numbers: { width: "u32" } },
  () => "out[p.out_at + i] = x[p.x_at + i] + bias[p.bias_at + i % p.width];",
);

const gradient = columnShader({ name: "biasGradient", reads: { g: "f32" } }, "g[p.g_at + row * p.columns + column]");

export const biasWebgpu: BiasKernel = (x, bias, out) =>
  launchEach(out.device as WebgpuDevice, sum, {}, { x, bias, out }, out.size, { width: bias.size });

export const biasGradientWebgpu: BiasGradientKernel = (g, dbias) =>
  sumColumns(gradient, { g }, g.size / dbias.size, dbias);
