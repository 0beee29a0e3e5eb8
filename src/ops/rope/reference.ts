import type { RopeKernel } from "./index.ts";

export const ropeReference: RopeKernel = (x, table, layout, sign, out) => {
  const e = x.shape.at(-1)!;
  const pairs = table.shape[2]!;
  const perRow = x.size / (x.shape[0]! * e);
  out.data.set(x.data);
  for (let v = 0; v * e < x.size; v++) {
    const row = Math.floor(v / perRow);
    const from = v * e + e - 2 * pairs;
    for (let i = 0; i < pairs; i++) {
      const cos = table.data[row * 2 * pairs + i]!;
      const sin = table.data[(row * 2 + 1) * pairs + i]! * sign;
      const a = layout === "interleaved" ? from + 2 * i : from + i;
      const b = layout === "interleaved" ? a + 1 : a + pairs;
      out.data[a] = x.data[a]! * cos - x.data[b]! * sin;
      out.data[b] = x.data[a]! * sin + x.data[b]! * cos;
    }
  }
};
