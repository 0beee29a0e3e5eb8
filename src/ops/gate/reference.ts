import type { GateBackwardKernel, GateKernel } from "./index.ts";

export const gateReference: GateKernel = (a, b, out) => {
  const [x, y, z] = [a.data, b.data, out.data];
  for (let i = 0; i < x.length; i++) z[i] = (x[i]! / (1 + Math.exp(-x[i]!))) * y[i]!;
};

/** silu'(x) = s (1 + x (1 - s)), with s the logistic function of x. */
export const gateBackwardReference: GateBackwardKernel = (a, b, g, da, db) => {
  const [x, y, go, dx, dy] = [a.data, b.data, g.data, da.data, db.data];
  for (let i = 0; i < x.length; i++) {
    const s = 1 / (1 + Math.exp(-x[i]!));
    dx[i] = go[i]! * y[i]! * s * (1 + x[i]! * (1 - s));
    dy[i] = go[i]! * x[i]! * s;
  }
};
