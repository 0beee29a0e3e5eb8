import { dataOf } from "../../device/float.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { contractReference } from "../einsum/reference.ts";
import { functions } from "../map/reference.ts";
import type { Contraction, ProductsKernel } from "./index.ts";

export const productsReference: ProductsKernel = (list, outs) => {
  list.forEach(({ x, of: [one, other], by }, i) => {
    const y = dataOf(outs[i]!);
    const before = y.slice();
    contract(x, one, outs[i]!);
    if (other) {
      const a = y.slice();
      contract(x, other, outs[i]!);
      for (let j = 0; j < y.length; j++) y[j] = (a[j]! / (1 + Math.exp(-a[j]!))) * y[j]!;
    }
    if (by !== undefined) for (let j = 0; j < y.length; j++) y[j] = before[j]! + by * y[j]!;
  });
};

function contract(x: Tensor, { plan, weight, bias, after }: Contraction, out: Tensor): void {
  contractReference(plan, x, weight, out, "set");
  const [y, biases] = [dataOf(out), dataOf(bias)];
  if (biases) for (let i = 0; i < y.length; i++) y[i]! += biases[i % biases.length]!;
  if (!after) return;
  const { by, times = 1, rate, inside } = after;
  const rates = dataOf(rate);
  const row = y.length / out.shape[0]!;
  for (let i = 0; i < y.length; i++) {
    const factor = rates ? Math.exp(rates[Math.floor(((i % row) * rates.length) / row)]!) : 1;
    const inner = inside ? factor * y[i]! : y[i]!;
    const value = by ? functions[by](inner) : inner;
    y[i] = times * (inside ? value : factor * value);
  }
}
