import type { MultiplyBackwardKernel, MultiplyKernel } from "./index.ts";

export const multiplyReference: MultiplyKernel = (a, b, { middle, inner }, out) => {
  const [x, y, z] = [a.data, b.data, out.data];
  for (let i = 0; i < z.length; i++) z[i] = x[i]! * y[Math.floor(i / inner) % middle]!;
};

export const multiplyBackwardReference: MultiplyBackwardKernel = (a, b, { middle, inner }, g, da, db) => {
  const [x, y, go, dx, dy] = [a.data, b.data, g.data, da?.data, db?.data.fill(0)];
  for (let i = 0; i < go.length; i++) {
    const m = Math.floor(i / inner) % middle;
    if (dx) dx[i] = go[i]! * y[m]!;
    if (dy) dy[m]! += go[i]! * x[i]!;
  }
};
