import { dataOf } from "../../device/float.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { NormBackwardKernel, NormKernel } from "./index.ts";

export const normReference: NormKernel = (x, gain, eps, out) => {
  const e = x.shape.at(-1)!;
  const [xs, y, gains] = [dataOf(x), dataOf(out), gainsOf(gain)];
  for (let row = 0; row < xs.length; row += e) {
    const r = inverse(xs, row, e, eps);
    for (let i = row; i < row + e; i++) y[i] = xs[i]! * r * gains[i % gains.length]!;
  }
};

/** With r = 1 / rms: dx = r (u - x r^2 mean(u x)), u = g gain; dgain = sum over rows of g x r. */
export const normBackwardReference: NormBackwardKernel = (x, gain, eps, g, dx, dgain) => {
  const e = x.shape.at(-1)!;
  const [xs, gains, go, dxs, dgains] = [dataOf(x), gainsOf(gain), dataOf(g), dataOf(dx), dataOf(dgain)?.fill(0)];
  for (let row = 0; row < xs.length; row += e) {
    const r = inverse(xs, row, e, eps);
    let dot = 0;
    for (let i = row; i < row + e; i++) dot += go[i]! * gains[i % gains.length]! * xs[i]!;
    for (let i = row; i < row + e; i++) {
      const [xi, gi] = [xs[i]!, go[i]!];
      if (dxs) dxs[i] = r * (gi * gains[i % gains.length]! - (xi * r * r * dot) / e);
      if (dgains) dgains[i % gains.length]! += gi * xi * r;
    }
  }
};

/** The gains, which repeat along x; 1 where absent. */
const gainsOf = (gain: Tensor | undefined) => dataOf(gain) ?? Float64Array.of(1);

function inverse(x: Float64Array, row: number, e: number, eps: number): number {
  let squares = 0;
  for (let i = 0; i < e; i++) squares += x[row + i]! ** 2;
  return 1 / Math.sqrt(squares / e + eps);
}
