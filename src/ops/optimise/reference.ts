import { dataOf } from "../../device/float.ts";
import type { AdamwKernel, SquaresKernel } from "./index.ts";

export const squaresReference: SquaresKernel = (x, out, at) => {
  dataOf(out)[at] = dataOf(x).reduce((sum, xi) => sum + xi * xi, 0);
};

export const adamwReference: AdamwKernel = (p, g, m, v, sums, step) => {
  const norm = Math.sqrt(dataOf(sums).reduce((a, b) => a + b, 0));
  const clip = norm > step.maxNorm ? step.maxNorm / norm : 1;
  const [pd, gd, md, vd] = [dataOf(p), dataOf(g), dataOf(m), dataOf(v)];
  for (let i = 0; i < pd.length; i++) {
    const gi = gd[i]! * clip;
    md[i] = step.beta1 * md[i]! + (1 - step.beta1) * gi;
    vd[i] = step.beta2 * vd[i]! + (1 - step.beta2) * gi * gi;
    const update = md[i]! / step.correction1 / (Math.sqrt(vd[i]! / step.correction2) + step.eps);
    pd[i] = pd[i]! - step.rate * (update + step.decay * pd[i]!);
  }
};
