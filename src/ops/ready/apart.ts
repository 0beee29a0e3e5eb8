import { Tensor } from "../../tensor/tensor.ts";
import type { Kernels } from "../kernel.ts";
import type { ReadyKernel } from "./index.ts";

/** Vectors made ready one tensor after the other, by a device's own norm and rotation. */
export function apart({ norm, rope }: Pick<Kernels, "norm" | "rope">): ReadyKernel {
  return (list, table, layout, outs) => {
    for (let i = 0; i < list.length; i++) {
      const [{ x, gain, eps, turned }, out] = [list[i]!, outs[i]!];
      if (!gain) rope(x, table, layout, 1, out);
      else if (!turned) norm(x, gain, eps, out);
      else {
        const normed = new Tensor(x.device, x.shape);
        norm(x, gain, eps, normed);
        rope(normed, table, layout, 1, out);
        normed.free();
      }
    }
  };
}
