import { dataOf } from "../../device/float.ts";
import type { ContractKernel } from "./index.ts";
import type { Axis } from "./plan.ts";

/** C[batch, m, n] = sum over k of A[batch, m, k] B[batch, k, n], by definition. */
export const contractReference: ContractKernel = (plan, a, b, out, mode) => {
  const [x, y, z] = [dataOf(a), dataOf(b), dataOf(out)];
  const outer = offsets([...plan.batch, ...plan.m, ...plan.n]);
  const inner = offsets(plan.k);
  for (let i = 0; i < outer.c.length; i++) {
    const [ia, ib, ic] = [outer.a[i]!, outer.b[i]!, outer.c[i]!];
    let sum = 0;
    for (let j = 0; j < inner.c.length; j++) sum += x[ia + inner.a[j]!]! * y[ib + inner.b[j]!]!;
    z[ic] = mode === "add" ? z[ic]! + sum : sum;
  }
};

/** The element offsets that nested loops over `axes` visit in a, b and c. */
function offsets(axes: readonly Axis[]): Readonly<Record<"a" | "b" | "c", Int32Array>> {
  const visited = (operand: "a" | "b" | "c") => {
    let starts = new Int32Array(1);
    for (const { size, [operand]: step } of axes) {
      const all = new Int32Array(starts.length * size);
      for (let i = 0; i < all.length; i++) all[i] = starts[Math.floor(i / size)]! + (i % size) * step;
      starts = all;
    }
    return starts;
  };
  return { a: visited("a"), b: visited("b"), c: visited("c") };
}
