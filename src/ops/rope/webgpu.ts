import { eachShader, launchEach } from "../../device/gpu/each.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { RopeKernel } from "./index.ts";

/** Each number is its own times cos, and its partner in the pair times sin. Angles come from the host: WGSL's sines are too rough. */
const turn = eachShader(
  {
    name: "rope",
    reads: { x: "f32", angles: "f32" },
    writes: { out: "f32" },
    numbers: { width: "u32", pairs: "u32", row: "u32", sign: "f32" },
  },
  ({ INTERLEAVED }) => /* wgsl */ `
  let at = i % p.width;
  let still = p.width - 2 * p.pairs;
  let own = x[p.x_at + i];
  if (at < still) { out[p.out_at + i] = own; return; }
  let place = at - still;
  ${
    INTERLEAVED
      ? "let pair = place / 2; let second = place % 2 == 1; let apart = 1u;"
      : "let pair = place % p.pairs; let second = place >= p.pairs; let apart = p.pairs;"
  }
  let table = p.angles_at + i / p.row * 2 * p.pairs + pair;
  let sin = p.sign * angles[table + p.pairs];
  let other = x[p.x_at + select(i + apart, i - apart, second)];
  out[p.out_at + i] = own * angles[table] + other * select(-sin, sin, second);`,
);

export const ropeWebgpu: RopeKernel = (x, table, layout, sign, out) => {
  const numbers = { width: x.shape.at(-1)!, pairs: table.shape[2]!, row: x.size / x.shape[0]!, sign };
  const constants = { INTERLEAVED: layout === "interleaved" };
  launchEach(out.device as WebgpuDevice, turn, constants, { x, angles: table, out }, out.size, numbers);
};
