import type { NormBackwardKernel, NormKernel } from "./index.ts";

export const normReference: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  for (let row = 0; row < x.size; row += e) {
    const r = inverse(x.data, row, e, eps);
    for (let i = 0; i < e; i++) out.data[row + i] = x.data[row + i]! * r * (gain ? gain.data[i]! : 1);
  }
};

/** With r = 1 / rms: dx = r (u - x r^2 mean(u x)), u = g gain; dgain = sum over rows of g x r. */
export const normBackwardReference: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  dgain?.data.fill(0);
  for (let row = 0; row < x.size; row += e) {
    const r = inverse(x.data, row, e, eps);
    let dot = 0;
    for (let i = 0; i < e; i++) dot += g.data[row + i]! * (gain ? gain.data[i]! : 1) * x.data[row + i]!;
    for (let i = 0; i < e; i++) {
      const [xi, gi] = [x.data[row + i]!, g.data[row + i]!];
      if (dx) dx.data[row + i] = r * (gi * (gain ? gain.data[i]! : 1) - (xi * r * r * dot) / e);
      if (dgain) dgain.data[i]! += gi * xi * r;
    }
  }
};

function inverse(x: Float64Array, row: number, e: number, eps: number): number {
  let squares = 0;
  for (let i = 0; i < e; i++) squares += x[row + i]! ** 2;
  return 1 / Math.sqrt(squares / e + eps);
}
