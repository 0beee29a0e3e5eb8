import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { NextKernel, PreviousKernel } from "./index.ts";

const before = eachShader(
  {
    name: "previous",
    reads: { x: "f32", start: "f32" },
    writes: { out: "f32" },
    numbers: { width: "u32", t: "u32" },
  },
  ({ START }) => /* wgsl */ `
  let opens = i / p.width % p.t == 0;
  var value = 0.0;
  if (!opens) { value = x[p.x_at + i - p.width]; }
  ${START ? "if (opens) { value = start[p.start_at + i % p.width]; }" : ""}
  out[p.out_at + i] = value;`,
);

const after = eachShader(
  { name: "next", reads: { g: "f32" }, writes: { out: "f32" }, numbers: { width: "u32", t: "u32" } },
  () => /* wgsl */ `
  var value = 0.0;
  if ((i / p.width + 1) % p.t != 0) { value = g[p.g_at + i + p.width]; }
  out[p.out_at + i] = value;`,
);

export const previousWebgpu: PreviousKernel = (x, t, first, out) => {
  const numbers = { width: x.size / x.shape[0]!, t };
  const operands = { x, start: first, out };
  launchEach(out.device as WebgpuDevice, before, { START: first !== undefined }, operands, out.size, numbers);
};

export const nextWebgpu: NextKernel = (g, t, out) =>
  launchEach(out.device as WebgpuDevice, after, {}, { g, out }, out.size, { width: g.size / g.shape[0]!, t });
