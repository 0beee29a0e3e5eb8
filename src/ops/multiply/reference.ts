import { dataOf } from "../../device/float.ts";
import type { MultiplyBackwardKernel, MultiplyKernel } from "./index.ts";

export const multiplyReference: MultiplyKernel = (a, b, { middle, inner }, out) => {
  const [x, y, z] = [dataOf(a), dataOf(b), dataOf(out)];
  for (let i = 0; i < z.length; i++) z[i] = x[i]! * y[Math.floor(i / inner) % middle]!;
};

export const multiplyBackwardReference: MultiplyBackwardKernel = (a, b, { middle, inner }, g, da, db) => {
  const [x, y, go, dx, dy] = [dataOf(a), dataOf(b), dataOf(g), dataOf(da), dataOf(db)?.fill(0)];
  for (let i = 0; i < go.length; i++) {
    const m = Math.floor(i / inner) % middle;
    if (dx) dx[i] = go[i]! * y[m]!;
    if (dy) dy[m]! += go[i]! * x[i]!;
  }
};
