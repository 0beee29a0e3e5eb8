import { dataOf } from "../../device/float.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { contractReference } from "../einsum/reference.ts";
import type { Contraction, ProductsKernel } from "./index.ts";

export const productsReference: ProductsKernel = (x, list, outs) => {
  list.forEach(({ of: [one, other], by }, i) => {
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

function contract(x: Tensor, { plan, weight, bias }: Contraction, out: Tensor): void {
  contractReference(plan, x, weight, out, "set");
  if (!bias) return;
  const [y, biases] = [dataOf(out), dataOf(bias)];
  for (let i = 0; i < y.length; i++) y[i]! += biases[i % biases.length]!;
}
