import { dataOf } from "../../device/float.ts";
import type { GateBackwardKernel, GateKernel } from "./index.ts";

export const gateReference: GateKernel = (a, b, out) => {
  const [x, y, z] = [dataOf(a), dataOf(b), dataOf(out)];
  for (let i = 0; i < x.length; i++) z[i] = (x[i]! / (1 + Math.exp(-x[i]!))) * y[i]!;
};

/** silu'(x) = s (1 + x (1 - s)), with s the logistic function of x. */
export const gateBackwardReference: GateBackwardKernel = (a, b, g, da, db) => {
  const [x, y, go, dx, dy] = [dataOf(a), dataOf(b), dataOf(g), dataOf(da), dataOf(db)];
  for (let i = 0; i < x.length; i++) {
    const s = 1 / (1 + Math.exp(-x[i]!));
    dx[i] = go[i]! * y[i]! * s * (1 + x[i]! * (1 - s));
    dy[i] = go[i]! * x[i]! * s;
  }
};
