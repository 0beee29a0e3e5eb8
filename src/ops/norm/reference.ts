import type { NormBackwardKernel, NormKernel } from "./index.ts";

export const normReference: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  const [xs, gains, y] = [x.data, gain?.data, out.data];
  for (let row = 0; row < xs.length; row += e) {
    const r = inverse(xs, row, e, eps);
    for (let i = 0; i < e; i++) y[row + i] = xs[row + i]! * r * (gains ? gains[i]! : 1);
  }
};

/** With r = 1 / rms: dx = r (u - x r^2 mean(u x)), u = g gain; dgain = sum over rows of g x r. */
export const normBackwardReference: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  const [xs, gains, go, dxs, dgains] = [x.data, gain?.data, g.data, dx?.data, dgain?.data.fill(0)];
  for (let row = 0; row < xs.length; row += e) {
    const r = inverse(xs, row, e, eps);
    let dot = 0;
    for (let i = 0; i < e; i++) dot += go[row + i]! * (gains ? gains[i]! : 1) * xs[row + i]!;
    for (let i = 0; i < e; i++) {
      const [xi, gi] = [xs[row + i]!, go[row + i]!];
      if (dxs) dxs[row + i] = r * (gi * (gains ? gains[i]! : 1) - (xi * r * r * dot) / e);
      if (dgains) dgains[i]! += gi * xi * r;
    }
  }
};

function inverse(x: Float64Array, row: number, e: number, eps: number): number {
  let squares = 0;
  for (let i = 0; i < e; i++) squares += x[row + i]! ** 2;
  return 1 / Math.sqrt(squares / e + eps);
}
