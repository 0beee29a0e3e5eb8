import type { Numbers } from "../../tensor/tensor.ts";
import type { Choice, RouteKernel } from "./index.ts";

export const routeReference: RouteKernel = (logits, choice, out) =>
  routeRows(logits.data, logits.shape[1]!, choice, out.data);

/** The whole of it, for numbers of either precision: a few dozen scores per token are no work for a kernel. */
export function routeRows(logits: Numbers, x: number, choice: Choice, out: Numbers): void {
  const size = x / choice.groups;
  for (let row = 0; row < logits.length; row += x) {
    const scores = logits.subarray(row, row + x);
    const max = Math.max(...scores);
    const weights = Array.from(scores, (score) => Math.exp(score - max));
    const sum = weights.reduce((a, b) => a + b, 0);
    const best = (group: number) => Math.max(...weights.slice(group * size, (group + 1) * size));
    const open = new Set(ranked(choice.groups, best).slice(0, choice.perGroup));
    const chosen = ranked(x, (i) => (open.has(Math.floor(i / size)) ? weights[i]! : -1)).slice(0, choice.perToken);
    out.fill(0, row, row + x);
    for (const i of chosen) out[row + i] = (weights[i]! / sum) * choice.factor;
  }
}

function ranked(n: number, score: (i: number) => number): number[] {
  return Array.from({ length: n }, (_, i) => i).sort((a, b) => score(b) - score(a) || a - b);
}
