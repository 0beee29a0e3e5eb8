import type { Numbers } from "../../tensor/tensor.ts";

/** Leaders of every row, in numbers of either precision: one look at each, and an insertion where it is among the k so far. */
export function leadRows(x: Numbers, n: number, k: number, out: Numbers): void {
  const [ids, best] = [new Int32Array(k), new Float64Array(k)];
  for (let row = 0; row * n < x.length; row++) {
    let found = 0;
    for (let i = 0; i < n; i++) {
      const value = x[row * n + i]!;
      if (found === k && !isAhead(value, best[k - 1]!)) continue;
      let at = found < k ? found++ : k - 1;
      for (; at > 0 && isAhead(value, best[at - 1]!); at--) {
        best[at] = best[at - 1]!;
        ids[at] = ids[at - 1]!;
      }
      best[at] = value;
      ids[at] = i;
    }
    out.set(ids, row * 2 * k);
    out.set(best, (row * 2 + 1) * k);
  }
}

/** Whether a later number goes before one found earlier. */
function isAhead(value: number, other: number): boolean {
  return value > other || (Number.isNaN(value) && !Number.isNaN(other));
}
