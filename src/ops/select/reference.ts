import { dataOf } from "../../device/float.ts";
import type { SelectCall, SelectKernel } from "./index.ts";

/** By definition: all visible keys of a query are ranked, and the first `count` put in order. */
export const selectReference: SelectKernel = (call, { rows, missing }) => {
  const { batch, t, s, count, causal } = call;
  const [to, lacking] = [dataOf(rows).fill(-1), dataOf(missing)];
  for (let row = 0; row < batch * t; row++) {
    const visible = causal ? Math.max(0, Math.min(s, (row % t) + s - t + 1)) : s;
    const scores = Array.from({ length: visible }, (_, key) => score(call, row, Math.floor(row / t) * s + key));
    const ranked = scores.map((_, key) => key).sort((a, b) => scores[b]! - scores[a]! || a - b);
    const chosen = ranked.slice(0, count).sort((a, b) => a - b);
    to.set(chosen, (row + 1) * count - chosen.length);
    lacking[row] = count - chosen.length;
  }
};

function score({ q, k, weights, heads, width, scale }: SelectCall, row: number, key: number): number {
  const [x, y, w] = [dataOf(q), dataOf(k), dataOf(weights)];
  let sum = 0;
  for (let j = 0; j < heads; j++) {
    let dot = 0;
    for (let i = 0; i < width; i++) dot += x[(row * heads + j) * width + i]! * y[key * width + i]!;
    sum += w[row * heads + j]! * Math.max(0, scale * dot);
  }
  return sum;
}
