import { columnShader, sumColumns } from "../../device/gpu/column.ts";
import { groupsFor, mainOf, type Shader } from "../../device/gpu/shader.ts";
import { groupsAside, reductions, rowCode } from "../../device/gpu/sum.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { GatedNormKernel, NormBackwardKernel, NormKernel } from "./index.ts";

/** Threads of a workgroup, which has one row: few for a head, many for a whole token. */
const threadsFor = (e: number) => (e > 256 ? 256 : 64);

/** What both directions begin with: this workgroup's row, and 1 / rms of it. */
const start = (THREADS: number) => /* wgsl */ `
  let row = line(group, groups);
  if (row >= p.rows) { return; }
  let at = row * p.width;
  var squares = 0.0;
  for (var i = thread; i < p.width; i += ${THREADS}) { squares += x[p.x_at + at + i] * x[p.x_at + at + i]; }
  let r = 1.0 / sqrt(sum_of(thread, squares) / f32(p.width) + p.eps);`;

/** The gain of number i of the row; gains repeat along x. */
const gainOf = (GAIN: unknown) => (GAIN ? "gain[p.gain_at + (at + i) % p.gains]" : "1.0");

const forward: Shader = {
  name: "norm",
  reads: { x: "f32", gain: "f32", gate: "f32" },
  writes: { out: "f32" },
  numbers: { rows: "u32", width: "u32", gains: "u32", eps: "f32" },
  code: ({ THREADS, GAIN, GATE, SUBGROUP }) => /* wgsl */ `${reductions(Number(THREADS), SUBGROUP)}
${mainOf(Number(THREADS), SUBGROUP)}${start(Number(THREADS))}
  for (var i = thread; i < p.width; i += ${THREADS}) { out[p.out_at + at + i] = x[p.x_at + at + i] * r * ${gainOf(GAIN)}${GATE ? " * gate[p.gate_at + at + i]" : ""}; }
}`,
};

/** Threads of a workgroup whose rows are subgroups' own, and rows from which on that is worth it: fewer go faster by all of a workgroup. */
const [SIDE, MANY] = [128, 16];

/** The same with a row for LANES threads of a subgroup: no memory of a workgroup, and no barrier. */
const aside: Shader = {
  ...forward,
  name: "normAside",
  code({ LANES, GAIN, GATE, SUBGROUP }) {
    const masks = Array.from({ length: Math.log2(Number(LANES)) }, (_, i) => 2 ** i);
    return /* wgsl */ `${mainOf(SIDE, SUBGROUP)}
  let lane = thread % ${LANES};
  let row = line(group, groups) * ${SIDE / Number(LANES)} + thread / ${LANES};
  let at = min(row, p.rows - 1) * p.width;
  var squares = 0.0;
  for (var i = lane; i < p.width; i += ${LANES}) { squares += x[p.x_at + at + i] * x[p.x_at + at + i]; }
${masks.map((mask) => `  squares += subgroupShuffleXor(squares, ${mask}u);`).join("\n")}
  if (row >= p.rows) { return; }
  let r = 1.0 / sqrt(squares / f32(p.width) + p.eps);
  for (var i = lane; i < p.width; i += ${LANES}) {
    out[p.out_at + at + i] = x[p.x_at + at + i] * r * ${gainOf(GAIN)}${GATE ? " * gate[p.gate_at + at + i]" : ""};
  }
}`;
  },
};

/** dx = r (u - x r^2 mean(u x)), u = g gain; and every row's r, for the gains' gradient. */
const backward: Shader = {
  name: "normBackward",
  reads: { x: "f32", gain: "f32", g: "f32" },
  writes: { dx: "f32", inverse: "f32" },
  numbers: { rows: "u32", width: "u32", gains: "u32", eps: "f32" },
  code(constants) {
    const { THREADS, GAIN, DX, DGAIN } = constants;
    const { head, sum } = rowCode(Number(THREADS), constants);
    return /* wgsl */ `${head}
  let at = row * p.width;
  var squares = 0.0;
  for (var i = lane; i < p.width; i += lanes) { squares += x[p.x_at + at + i] * x[p.x_at + at + i]; }
  let r = 1.0 / sqrt(${sum("squares")} / f32(p.width) + p.eps);
  ${DGAIN ? "if (lane == 0 && there) { inverse[p.inverse_at + row] = r; }" : ""}
  ${
    DX
      ? /* wgsl */ `
  var part = 0.0;
  for (var i = lane; i < p.width; i += lanes) { part += g[p.g_at + at + i] * ${gainOf(GAIN)} * x[p.x_at + at + i]; }
  let mean = ${sum("part")} / f32(p.width);
  if (!there) { return; }
  for (var i = lane; i < p.width; i += lanes) {
    dx[p.dx_at + at + i] = r * (g[p.g_at + at + i] * ${gainOf(GAIN)} - x[p.x_at + at + i] * r * r * mean);
  }`
      : ""
  }
}`;
  },
};

/** dgain = the sum over rows of g x r. */
const gradient = columnShader(
  { name: "normGain", reads: { x: "f32", g: "f32", inverse: "f32" }, numbers: { width: "u32" } },
  "g[p.g_at + placeOf(row, column)] * x[p.x_at + placeOf(row, column)] * inverse[p.inverse_at + placeOf(row, column) / p.width]",
  "fn placeOf(row: u32, column: u32) -> u32 { return row * p.columns + column; }",
);

function sizesOf(x: Tensor, gain: Tensor | undefined, eps: number) {
  const width = x.shape.at(-1)!;
  const rows = width ? x.size / width : 0;
  return {
    constants: { THREADS: threadsFor(width), GAIN: gain !== undefined },
    numbers: { rows, width, gains: gain?.size ?? 1, eps },
    groups: groupsFor(rows),
  };
}

export const normWebgpu: NormKernel = (x, gain, eps, out) => launch(x, gain, eps, undefined, out);

export const gatedNormWebgpu: GatedNormKernel = (x, gain, eps, gate, out) => launch(x, gain, eps, gate, out);

function launch(x: Tensor, gain: Tensor | undefined, eps: number, gate: Tensor | undefined, out: Tensor): void {
  const device = out.device as WebgpuDevice;
  const { constants, numbers, groups } = sizesOf(x, gain, eps);
  const operands = { x, gain, gate, out };
  const { subgroup } = device.traits;
  if (!subgroup || subgroup.least < 4 || numbers.rows < MANY) {
    device.launch(forward, { ...constants, GATE: gate !== undefined }, operands, numbers, groups);
    return;
  }
  const LANES = Math.min(subgroup.least, 32);
  const own = { LANES, GAIN: constants.GAIN, GATE: gate !== undefined };
  device.launch(aside, own, operands, numbers, groupsFor(Math.ceil(numbers.rows / (SIDE / LANES))));
}

export const normBackwardWebgpu: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const { constants, numbers, groups } = sizesOf(x, gain, eps);
  const device = g.device as WebgpuDevice;
  const inverse = dgain && new Tensor(device, [numbers.rows]);
  const aside = groupsAside(device.traits, numbers.rows);
  const wanted = { ...constants, DX: dx !== undefined, DGAIN: dgain !== undefined, ASIDE: aside !== undefined };
  device.launch(backward, wanted, { x, gain, g, dx, inverse }, numbers, aside ? groupsFor(aside) : groups);
  if (!dgain || !inverse) return;
  sumColumns(gradient, { x, g, inverse }, x.size / dgain.size, dgain, { width: numbers.width });
  inverse.free();
};
