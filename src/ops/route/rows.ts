import type { Numbers } from "../../tensor/tensor.ts";
import type { Choice } from "./index.ts";

/** Routing of every row, in numbers of either precision: a few dozen scores per token. */
export function routeRows(logits: Numbers, x: number, choice: Choice, bias: Numbers | undefined, out: Numbers): void {
  const size = x / choice.groups;
  const [scores, picked] = [new Float64Array(x), new Float64Array(x)];
  const best = new Float64Array(choice.groups);
  for (let row = 0; row < logits.length; row += x) {
    if (choice.scores === "softmax") softmax(logits, row, scores);
    else for (let i = 0; i < x; i++) scores[i] = 1 / (1 + Math.exp(-logits[row + i]!));
    for (let i = 0; i < x; i++) picked[i] = scores[i]! + (bias?.[i] ?? 0);
    if (choice.groups > 1) {
      for (let g = 0; g < choice.groups; g++) best[g] = groupScore(picked, g * size, size, choice.scores);
      for (let left = choice.groups - choice.perGroup; left > 0; left--) {
        const worst = least(best);
        picked.fill(Number.NEGATIVE_INFINITY, worst * size, (worst + 1) * size);
        best[worst] = Number.POSITIVE_INFINITY;
      }
    }
    out.fill(0, row, row + x);
    let sum = 0;
    const chosen: number[] = [];
    for (let n = 0; n < choice.perToken; n++) {
      const i = greatest(picked);
      chosen.push(i);
      sum += scores[i]!;
      picked[i] = Number.NEGATIVE_INFINITY;
    }
    // DeepSeek's own guard against a sum of 0.
    const factor = choice.normalised ? choice.factor / (sum + 1e-20) : choice.factor;
    for (const i of chosen) out[row + i] = scores[i]! * factor;
  }
}

function softmax(logits: Numbers, row: number, into: Float64Array): void {
  let [max, sum] = [Number.NEGATIVE_INFINITY, 0];
  for (let i = 0; i < into.length; i++) max = Math.max(max, logits[row + i]!);
  for (let i = 0; i < into.length; i++) sum += into[i] = Math.exp(logits[row + i]! - max);
  for (let i = 0; i < into.length; i++) into[i]! /= sum;
}

/** A group's best score, or for sigmoid scores the sum of its two best. */
function groupScore(picked: Float64Array, from: number, size: number, scores: Choice["scores"]): number {
  let [first, second] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = from; i < from + size; i++) {
    const score = picked[i]!;
    if (score > first) [first, second] = [score, first];
    else if (score > second) second = score;
  }
  return scores === "softmax" ? first : first + second;
}

/** The first of the greatest; numbers that are none are never it, so a place is found for any input. */
function greatest(values: Float64Array): number {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[at]!) at = i;
  return at;
}

/** The last of the least. */
function least(values: Float64Array): number {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! <= values[at]!) at = i;
  return at;
}
