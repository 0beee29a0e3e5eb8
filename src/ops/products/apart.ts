import { Tensor } from "../../tensor/tensor.ts";
import type { Kernels } from "../kernel.ts";
import { finishInto } from "./after.ts";
import type { Contraction, ProductsKernel } from "./index.ts";

/** Products one after the other, of a device's own kernels for their parts. */
export function apart(
  kernels: Pick<Kernels, "contract" | "bias" | "gate" | "update" | "map" | "multiply" | "combine">,
) {
  const { contract, bias, gate, update } = kernels;
  const finish = finishInto(kernels);
  const whole = (x: Tensor, one: Contraction, out: Tensor) => {
    const { plan, weight, after } = one;
    const sum = after ? new Tensor(x.device, plan.shape) : out;
    const plain = one.bias ? new Tensor(x.device, plan.shape) : sum;
    contract(plan, x, weight, plain, "set");
    if (one.bias) {
      bias(plain, one.bias, sum);
      plain.free();
    }
    if (!after) return;
    finish(sum, after, out);
    sum.free();
  };
  const run: ProductsKernel = (list, outs) => {
    for (let i = 0; i < list.length; i++) {
      const [{ x, of, by }, out] = [list[i]!, outs[i]!];
      const [one, other] = of;
      if (by === 1 && !one.bias && !one.after && !other) {
        contract(one.plan, x, one.weight, out, "add");
        continue;
      }
      const to = by === undefined ? out : new Tensor(x.device, one.plan.shape);
      if (other) {
        const [a, b] = [new Tensor(x.device, one.plan.shape), new Tensor(x.device, one.plan.shape)];
        whole(x, one, a);
        whole(x, other, b);
        gate(a, b, to);
        a.free();
        b.free();
      } else whole(x, one, to);
      if (by === undefined) continue;
      update(out, 1, by, to);
      to.free();
    }
  };
  return run;
}
