import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { CombineKernel, UpdateKernel } from "./index.ts";

/** out = alpha x + beta y; IN_PLACE: x is what out holds. */
const combine = eachShader(
  { name: "combine", reads: { x: "f32", y: "f32" }, writes: { out: "f32" }, numbers: { alpha: "f32", beta: "f32" } },
  ({ IN_PLACE, Y }) => /* wgsl */ `
  let scaled = p.alpha * ${IN_PLACE ? "out[p.out_at + i]" : "x[p.x_at + i]"};
  out[p.out_at + i] = scaled${Y ? " + p.beta * y[p.y_at + i]" : ""};`,
);

export const combineWebgpu: CombineKernel = (alpha, x, beta, y, out) => {
  const constants = { IN_PLACE: x === out, Y: y !== undefined };
  const operands = { x: x === out ? undefined : x, y, out };
  launchEach(out.device as WebgpuDevice, combine, constants, operands, out.size, { alpha, beta });
};

export const updateWebgpu: UpdateKernel = (out, alpha, beta, y) => combineWebgpu(alpha, out, beta, y, out);
