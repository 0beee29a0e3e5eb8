import { dataOf } from "../../device/float.ts";
import type { RopeKernel } from "./index.ts";

export const ropeReference: RopeKernel = (x, table, layout, sign, out) => {
  const e = x.shape.at(-1)!;
  const pairs = table.shape[2]!;
  const perRow = x.size / (x.shape[0]! * e);
  const [from, angles, to] = [dataOf(x), dataOf(table), dataOf(out)];
  to.set(from);
  for (let v = 0; v * e < from.length; v++) {
    const row = Math.floor(v / perRow);
    const start = v * e + e - 2 * pairs;
    for (let i = 0; i < pairs; i++) {
      const cos = angles[row * 2 * pairs + i]!;
      const sin = angles[(row * 2 + 1) * pairs + i]! * sign;
      const a = layout === "interleaved" ? start + 2 * i : start + i;
      const b = layout === "interleaved" ? a + 1 : a + pairs;
      const [u, w] = [from[a]!, from[b]!];
      to[a] = u * cos - w * sin;
      to[b] = u * sin + w * cos;
    }
  }
};
