import { dataOf } from "../../device/float.ts";
import type { ContractKernel } from "./index.ts";
import type { Axis, Plan } from "./plan.ts";

/** C[batch, m, n] = sum over k of A[batch, m, k] B[batch, k, n], by definition. */
export const contractReference: ContractKernel = (plan, a, b, out, mode) => {
  const [x, y, z] = [dataOf(a), dataOf(b), dataOf(out)];
  const { outer, inner } = placesOf(plan);
  for (let i = 0; i < outer.c.length; i++) {
    const [ia, ib, ic] = [outer.a[i]!, outer.b[i]!, outer.c[i]!];
    let sum = 0;
    for (let j = 0; j < inner.c.length; j++) sum += x[ia + inner.a[j]!]! * y[ib + inner.b[j]!]!;
    z[ic] = mode === "add" ? z[ic]! + sum : sum;
  }
};

type Offsets = Readonly<Record<"a" | "b" | "c", Int32Array>>;

/** Where a plan's loops go; small ones are kept as long as their plan. */
interface Places {
  readonly outer: Offsets;
  readonly inner: Offsets;
}

const known = new WeakMap<Plan, Places>();
const KEPT = 4096;

function placesOf(plan: Plan): Places {
  const found = known.get(plan);
  if (found) return found;
  const places = { outer: offsets([...plan.batch, ...plan.m, ...plan.n]), inner: offsets(plan.k) };
  if (places.outer.c.length + places.inner.c.length <= KEPT) known.set(plan, places);
  return places;
}

/** The element offsets that nested loops over `axes` visit in a, b and c. */
function offsets(axes: readonly Axis[]): Offsets {
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
