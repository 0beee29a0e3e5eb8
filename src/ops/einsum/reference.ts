import { dataOf } from "../../device/float.ts";
import type { ContractKernel } from "./index.ts";
import type { Axis, Plan } from "./plan.ts";

/** C[batch, m, n] = sum over k of A[batch, m, k] B[batch, k, n], by definition: each sum grows from 0 in the order of k. */
export const contractReference: ContractKernel = (plan, a, b, out, mode) => {
  const [x, y, z] = [dataOf(a), dataOf(b), dataOf(out)];
  const { rows, columns, inner, together, sums } = placesOf(plan);
  for (let i = 0; i < rows.c.length; i++) {
    const [ia, ib, ic] = [rows.a[i]!, rows.b[i]!, rows.c[i]!];
    sums.fill(0);
    if (together)
      for (let j = 0; j < inner.c.length; j++) {
        const [factor, at] = [x[ia + inner.a[j]!]!, ib + inner.b[j]!];
        for (let n = 0; n < sums.length; n++) sums[n]! += factor * y[at + columns.b[n]!]!;
      }
    else
      for (let n = 0; n < sums.length; n++) {
        const at = ib + columns.b[n]!;
        let sum = 0;
        for (let j = 0; j < inner.c.length; j++) sum += x[ia + inner.a[j]!]! * y[at + inner.b[j]!]!;
        sums[n] = sum;
      }
    for (let n = 0; n < sums.length; n++) {
      const at = ic + columns.c[n]!;
      z[at] = mode === "add" ? z[at]! + sums[n]! : sums[n]!;
    }
  }
};

type Offsets = Readonly<Record<"a" | "b" | "c", Int32Array>>;

/** Where a plan's loops go, with room for a row's sums; small ones are kept as long as their plan. */
interface Places {
  readonly rows: Offsets;
  readonly columns: Offsets;
  readonly inner: Offsets;
  /** Whether the sums of a row grow together, as is quicker where many columns lie side by side in b: 2.4 times. */
  readonly together: boolean;
  readonly sums: Float64Array;
}

const known = new WeakMap<Plan, Places>();
const KEPT = 4096;
const MANY = 32;

function placesOf(plan: Plan): Places {
  const found = known.get(plan);
  if (found) return found;
  const { batch, m, n, k } = plan;
  const [rows, columns, inner] = [offsets([...batch, ...m]), offsets(n), offsets(k)];
  const together = columns.c.length >= MANY && n.at(-1)!.b < (k.at(-1)?.b ?? 0);
  const places = { rows, columns, inner, together, sums: new Float64Array(columns.c.length) };
  if (rows.c.length + columns.c.length + inner.c.length <= KEPT) known.set(plan, places);
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
