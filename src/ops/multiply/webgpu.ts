import { columnShader, sumColumns } from "../../device/gpu/column.ts";
import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { MultiplyBackwardKernel, MultiplyKernel } from "./index.ts";

const product = eachShader(
  {
    name: "multiply",
    reads: { a: "f32", b: "f32" },
    writes: { out: "f32" },
    numbers: { middle: "u32", inner: "u32" },
  },
  () => "out[p.out_at + i] = a[p.a_at + i] * b[p.b_at + i / p.inner % p.middle];",
);

/** Rows are what b is the same for: outer and inner together. */
const gradient = columnShader(
  { name: "multiplyGradient", reads: { a: "f32", g: "f32" }, numbers: { inner: "u32" } },
  "a[p.a_at + placeOf(row, column)] * g[p.g_at + placeOf(row, column)]",
  /* wgsl */ `
fn placeOf(row: u32, column: u32) -> u32 { return (row / p.inner * p.columns + column) * p.inner + row % p.inner; }`,
);

export const multiplyWebgpu: MultiplyKernel = (a, b, { middle, inner }, out) =>
  launchEach(out.device as WebgpuDevice, product, {}, { a, b, out }, out.size, { middle, inner });

export const multiplyBackwardWebgpu: MultiplyBackwardKernel = (a, b, spread, g, da, db) => {
  if (da) multiplyWebgpu(g, b, spread, da);
  if (db) sumColumns(gradient, { a, g }, spread.outer * spread.inner, db, { inner: spread.inner });
};
