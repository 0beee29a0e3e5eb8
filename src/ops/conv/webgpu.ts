import { columnShader, sumColumns } from "../../device/gpu/column.ts";
import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { ConvBackwardKernel, ConvKernel, Convolution } from "./index.ts";

const numbers = { t: "u32", channels: "u32", width: "u32", before: "u32" } as const;

/** The number under tap `tap` of row `row` and a channel: of x, of the rows before it, or 0. */
const inputOf = /* wgsl */ `
fn inputOf(row: u32, channel: u32, tap: u32) -> f32 {
  let back = p.width - 1 - tap;
  let token = row % p.t;
  if (token >= back) { return x[p.x_at + (row - back) * p.channels + channel]; }
  if (p.before != 0) { return start[p.start_at + (token + tap) * p.channels + channel]; }
  return 0.0;
}`;

const forward = eachShader(
  { name: "conv", reads: { x: "f32", w: "f32", start: "f32", bias: "f32" }, writes: { out: "f32" }, numbers },
  ({ BIAS }) => /* wgsl */ `
  let channel = i % p.channels;
  var sum = ${BIAS ? "bias[p.bias_at + channel]" : "0.0"};
  for (var tap = 0u; tap < p.width; tap++) {
    sum += w[p.w_at + channel * p.width + tap] * inputOf(i / p.channels, channel, tap);
  }
  out[p.out_at + i] = sum;`,
  inputOf,
);

/** What an input receives of the rows that it lies under. */
const inputs = eachShader(
  { name: "convInputs", reads: { g: "f32", w: "f32" }, writes: { dx: "f32" }, numbers },
  () => /* wgsl */ `
  let channel = i % p.channels;
  let left = p.t - 1 - i / p.channels % p.t;
  var sum = 0.0;
  for (var ahead = 0u; ahead < min(p.width, left + 1); ahead++) {
    sum += w[p.w_at + (channel + 1) * p.width - 1 - ahead] * g[p.g_at + i + ahead * p.channels];
  }
  dx[p.dx_at + i] = sum;`,
);

/** A column is a tap of a channel. */
const taps = columnShader(
  { name: "convTaps", reads: { x: "f32", start: "f32", g: "f32" }, numbers },
  "g[p.g_at + row * p.channels + column / p.width] * inputOf(row, column / p.width, column % p.width)",
  inputOf,
);

const biases = columnShader({ name: "convBias", reads: { g: "f32" } }, "g[p.g_at + row * p.columns + column]");

function sizesOf({ w, t, before }: Convolution) {
  const width = w.shape.at(-1)!;
  return { t, channels: w.size / width, width, before: before ? 1 : 0 };
}

export const convWebgpu: ConvKernel = (conv, bias, out) => {
  const { x, w, before: start } = conv;
  const constants = { BIAS: bias !== undefined };
  launchEach(out.device as WebgpuDevice, forward, constants, { x, w, start, bias, out }, out.size, sizesOf(conv));
};

export const convBackwardWebgpu: ConvBackwardKernel = (conv, g, dx, dw, dbias) => {
  const { x, w, before: start } = conv;
  const sizes = sizesOf(conv);
  const rows = x.size / sizes.channels;
  if (dx) launchEach(g.device as WebgpuDevice, inputs, {}, { g, w, dx }, dx.size, sizes);
  if (dw) sumColumns(taps, { x, start, g }, rows, dw, sizes);
  if (dbias) sumColumns(biases, { g }, rows, dbias);
};
