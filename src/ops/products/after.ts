import { sizeOf, Tensor } from "../../tensor/tensor.ts";
import { scaleBy } from "../add/index.ts";
import type { Kernels } from "../kernel.ts";
import { type Mapping, map } from "../map/index.ts";
import { multiply } from "../multiply/index.ts";

/**
 * What becomes of each number y of a product, its bias included: times e^rate by(y), or where the rate is `inside` times by(e^rate y); by is no
 * function at all unless given.
 * `rate` `[h]` has one number for each head, the first axis of a row.
 */
export interface After {
  readonly by?: Mapping | undefined;
  /** 1 unless given. */
  readonly times?: number | undefined;
  readonly rate?: Tensor | undefined;
  readonly inside?: boolean | undefined;
}

/** The same by plain ops, which a tape records; y itself where nothing becomes of it. */
export function finish(y: Tensor, after: After | undefined): Tensor {
  if (!after) return y;
  const { by, times = 1, rate, inside } = after;
  const factor = rate && map(rate, "exp");
  const inner = factor && inside ? multiply(y, factor, 1) : y;
  const mapped = by ? map(inner, by) : inner;
  const scaled = times === 1 ? mapped : scaleBy(mapped, times);
  return factor && !inside ? multiply(scaled, factor, 1) : scaled;
}

/** The same by a device's own kernels, into `out`. */
export function finishInto({ map, multiply, combine }: Pick<Kernels, "map" | "multiply" | "combine">) {
  return (y: Tensor, { by, times = 1, rate, inside }: After, out: Tensor): void => {
    const { device, shape } = y;
    const factor = rate && new Tensor(device, rate.shape);
    if (rate) map(rate, "exp", factor!);
    const spread = { outer: shape[0]!, middle: rate?.size ?? 1, inner: sizeOf(shape.slice(2)) };
    const weigh = (x: Tensor, to: Tensor) => multiply(x, factor!, spread, to);
    const steps: ((x: Tensor, to: Tensor) => void)[] = by ? [(x, to) => map(x, by, to)] : [];
    if (times !== 1 || !by) steps.push((x, to) => combine(times, x, 0, undefined, to));
    if (factor && inside) steps.unshift(weigh);
    else if (factor) steps.push(weigh);
    let x = y;
    steps.forEach((step, i) => {
      const to = i === steps.length - 1 ? out : new Tensor(device, shape);
      step(x, to);
      if (x !== y) x.free();
      x = to;
    });
    factor?.free();
  };
}
