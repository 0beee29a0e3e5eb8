import type { CompareSettings } from "./schedule.ts";

/** What a comparison does beside its steps. */
export type Effort = Pick<CompareSettings, "evaluations" | "heldOutBatches" | "rounds" | "contexts">;

/** Steps below which evaluating and measuring less buys more of them. */
const FEW = 60;

/**
 * Steps whose predicted time fits into `seconds`, and what is done beside them: the first of several efforts, from the most to the
 * least, that leaves room for some dozens of steps. With the last in any case, and one step at least, however slow the machine.
 */
export function fitSteps(
  seconds: number,
  efforts: readonly Effort[],
  predict: (steps: number, effort: Effort) => number,
): { readonly steps: number; readonly effort: Effort } {
  const all = efforts.map((effort) => ({ effort, steps: mostSteps(seconds, (steps) => predict(steps, effort)) }));
  return all.find(({ steps }) => steps >= FEW) ?? all.at(-1)!;
}

/** The most steps that end within `seconds` by a prediction that grows with them; one at least. */
export function mostSteps(seconds: number, predict: (steps: number) => number): number {
  let [least, most] = [1, 2];
  while (most < 2 ** 30 && predict(most) <= seconds) [least, most] = [most, 2 * most];
  while (most - least > 1) {
    const middle = (least + most) >> 1;
    if (predict(middle) <= seconds) least = middle;
    else most = middle;
  }
  return least;
}
