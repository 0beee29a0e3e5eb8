import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { read } from "../attend/gpu/read.wgsl.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import type { RopeKernel } from "./index.ts";

/** Number `i`, its own times cos, and its partner in the pair times sin. Angles come from the host: WGSL's sines are too rough. */
const turned = (interleaved: unknown, number: (i: string) => string) => /* wgsl */ `
  let at = i % p.width;
  let still = p.width - 2 * p.pairs;
  let own = ${number("i")};
  if (at < still) { out[p.out_at + i] = own; return; }
  let place = at - still;
  ${
    interleaved
      ? "let pair = place / 2; let second = place % 2 == 1; let apart = 1u;"
      : "let pair = place % p.pairs; let second = place >= p.pairs; let apart = p.pairs;"
  }
  let table = p.angles_at + i / p.row * 2 * p.pairs + pair;
  let sin = p.sign * angles[table + p.pairs];
  let other = ${number("select(i + apart, i - apart, second)")};
  out[p.out_at + i] = own * angles[table] + other * select(-sin, sin, second);`;

const numbers = { width: "u32", pairs: "u32", row: "u32", sign: "f32" } as const;

const turn = eachShader(
  { name: "rope", reads: { x: "f32", angles: "f32" }, writes: { out: "f32" }, numbers },
  ({ INTERLEAVED }) => turned(INTERLEAVED, (i) => `x[p.x_at + ${i}]`),
);

const numbersOf = (x: Tensor, table: Tensor, sign: 1 | -1) => {
  return { width: x.shape.at(-1)!, pairs: table.shape[2]!, row: sizeOf(x.shape.slice(1)), sign };
};

export const ropeWebgpu: RopeKernel = (x, table, layout, sign, out) => {
  const constants = { INTERLEAVED: layout === "interleaved" };
  const operands = { x, angles: table, out };
  launchEach(out.device as WebgpuDevice, turn, constants, operands, out.size, numbersOf(x, table, sign));
};

/** The same of rows on pages, read there. */
export const ropePagedWebgpu: RopeKernel = (x, table, layout, sign, out) => {
  const device = out.device as WebgpuDevice;
  const given = numbersOf(x, table, sign);
  const e = given.width;
  const reading = read(device, [{ name: "x", x, e, g: given.row / e }], {}, device.traits.bindings - 2);
  const number = (i: string) => `number(${i})`;
  const shader = shaderOf("ropePaged", JSON.stringify([reading.key, layout, e]), () =>
    eachShader(
      {
        name: "ropePaged",
        reads: { ...reading.reads, angles: "f32" },
        writes: { out: "f32" },
        numbers: { ...reading.numbers, ...numbers },
      },
      () => turned(layout === "interleaved", number),
      `${reading.code}
fn number(i: u32) -> f32 { return x(i / p.row, i % p.row / ${e}, i % ${e} / 4)[i % ${e} % 4]; }`,
    ),
  );
  const operands = { ...reading.operands, angles: table, out };
  launchEach(device, shader, {}, operands, out.size, { ...reading.given, ...given });
  reading.free();
};
