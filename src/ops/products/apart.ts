import { Tensor } from "../../tensor/tensor.ts";
import type { Kernels } from "../kernel.ts";
import type { Contraction, ProductsKernel } from "./index.ts";

/** Products one after the other, of a device's own kernels for their parts. */
export function apart({ contract, bias, gate, update }: Pick<Kernels, "contract" | "bias" | "gate" | "update">) {
  const whole = (x: Tensor, one: Contraction, out: Tensor) => {
    if (!one.bias) {
      contract(one.plan, x, one.weight, out, "set");
      return;
    }
    const plain = new Tensor(x.device, one.plan.shape);
    contract(one.plan, x, one.weight, plain, "set");
    bias(plain, one.bias, out);
    plain.free();
  };
  const run: ProductsKernel = (x, list, outs) => {
    for (let i = 0; i < list.length; i++) {
      const [{ of, by }, out] = [list[i]!, outs[i]!];
      const [one, other] = of;
      if (by === 1 && !one.bias && !other) {
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
