import { Tensor } from "../../tensor/tensor.ts";
import type { Contracted } from "../einsum/index.ts";
import type { Kernels } from "../kernel.ts";
import { finishInto } from "./after.ts";
import type { Contraction, ProductsKernel } from "./index.ts";

/** Products by a device's own kernels for their parts: all contractions first, by `contractAll`, then what becomes of each. */
export function apart(
  kernels: Pick<Kernels, "bias" | "gate" | "update" | "map" | "multiply" | "combine">,
  contractAll: (list: readonly Contracted[]) => void,
) {
  const { bias, gate, update } = kernels;
  const finish = finishInto(kernels);
  /** A sum with its bias and what becomes of that, in `out` where it is given and anything becomes of it. */
  const whole = (sum: Tensor, one: Contraction, out: Tensor | undefined): Tensor => {
    let x = sum;
    const put = (last: boolean, run: (to: Tensor) => void) => {
      const to = last && out ? out : new Tensor(x.device, x.shape);
      run(to);
      x.free();
      x = to;
    };
    if (one.bias) put(!one.after, (to) => bias(x, one.bias!, to));
    if (one.after) put(true, (to) => finish(x, one.after!, to));
    return x;
  };
  const run: ProductsKernel = (list, outs) => {
    const sums: Contracted[] = [];
    const places = list.map(({ x, of, by }, i) => {
      const straight = !of[1] && !of[0].bias && !of[0].after && (by === undefined || by === 1);
      return of.map((one) => {
        if (!one) return undefined;
        const out = straight ? outs[i]! : new Tensor(x.device, one.plan.shape);
        sums.push({ plan: one.plan, a: x, b: one.weight, out, mode: straight && by === 1 ? "add" : "set" });
        return out;
      });
    });
    contractAll(sums);
    list.forEach(({ of: [one, other], by }, i) => {
      const [[first, second], out] = [places[i]!, outs[i]!];
      if (first === out) return;
      let y = whole(first!, one, other || by !== undefined ? undefined : out);
      if (other) {
        const z = whole(second!, other, undefined);
        const gated = by === undefined ? out : new Tensor(out.device, out.shape);
        gate(y, z, gated);
        y.free();
        z.free();
        y = gated;
      }
      if (by === undefined) return;
      update(out, 1, by, y);
      y.free();
    });
  };
  return run;
}
