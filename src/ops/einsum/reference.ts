import type { ContractKernel } from "./index.ts";
import type { Axis } from "./plan.ts";

/** C[batch, m, n] = sum over k of A[batch, m, k] B[batch, k, n], by definition. */
export const contractReference: ContractKernel = (plan, a, b, out, mode) => {
  const [x, y, z] = [a.data, b.data, out.data];
  const outer = offsets([...plan.batch, ...plan.m, ...plan.n]);
  const inner = offsets(plan.k);
  for (const [ia, ib, ic] of outer) {
    let sum = 0;
    for (const [ja, jb] of inner) sum += x[ia + ja]! * y[ib + jb]!;
    z[ic] = mode === "add" ? z[ic]! + sum : sum;
  }
};

/** The element offsets that nested loops over `axes` visit in a, b and c. */
function offsets(axes: readonly Axis[]): [number, number, number][] {
  let all: [number, number, number][] = [[0, 0, 0]];
  for (const axis of axes)
    all = all.flatMap(([a, b, c]) =>
      Array.from({ length: axis.size }, (_, i): [number, number, number] => [
        a + i * axis.a,
        b + i * axis.b,
        c + i * axis.c,
      ]),
    );
  return all;
}
