/** How far a comparison goes where that depends on the machine, and what its parts take there. */
import { type Effort, fitSteps } from "../lab/fit.ts";
import { type Goal, type Matched, match } from "../lab/match.ts";
import { type Pace, rehearse } from "../lab/pace.ts";
import { type CompareSettings, totalForecast } from "../lab/schedule.ts";
import { Shelf } from "../lab/shelf.ts";
import { type Clock, wall } from "../measure/clock.ts";
import type { Device } from "../tensor/device.ts";
import { trainFlopsPerToken } from "../train/train.ts";
import type { Task } from "./comparison.ts";

/** Seconds for looking at the machine, all variants together, where steps depend on it, and where only the time left does. */
const LONG_LOOK = 2;
const SHORT_LOOK = 0.5;
/** Of the time that is left, what is planned with: the rest is for what nobody foresees. */
const SHARE = 0.87;

/** What was found, as it is kept: an interrupted comparison goes on with the same. */
interface Found {
  readonly budget: Goal["budget"];
  readonly effort: Effort;
  readonly paces: readonly (readonly [pattern: string, pace: Pace])[];
}

/** What stands about: where things are kept, and the seconds that what follows the training will take. */
interface Around {
  readonly state: string;
  readonly later: number;
  readonly signal: AbortSignal;
  /** Seconds since the program began. */
  readonly clock?: Clock | undefined;
}

/**
 * The settings with which a comparison ends in its time, and what a step and a token of each variant take: found once, and then
 * read from where it is kept.
 */
export async function fitTask(
  task: Task,
  device: Device,
  around: Around,
): Promise<{ settings: CompareSettings; paces: ReadonlyMap<string, Pace> }> {
  const shelf = new Shelf<Found>(around.state, task.key);
  const found = (await shelf.get("fit")) ?? (await find(task, device, around));
  if (!around.signal.aborted) await shelf.put("fit", found);
  const { budget, effort, paces } = found;
  return { settings: { ...task.settings, ...effort, goal: { ...task.settings.goal, budget } }, paces: new Map(paces) };
}

async function find(
  { settings, efforts, model, seconds, fill, ...task }: Task,
  device: Device,
  { later, signal, clock = wall }: Around,
): Promise<Found> {
  const { variants, goal, optimiser, rates } = settings;
  const { batch, length } = goal;
  const source = task.source(1);
  const matched = match(variants, model, goal);
  const look = (seconds === undefined ? SHORT_LOOK : LONG_LOOK) / (1 + variants.length);
  const paceOf = ({ pattern, settings: sized }: Matched) => {
    const trial = { pattern, model: sized, optimiser, rate: rates[0]!, batch, length };
    return rehearse(trial, source, device, { seconds: look, clock, signal });
  };
  // Variants share nearly all code, which the first time is compiled.
  await paceOf(matched[0]!);
  const paces: [string, Pace][] = [];
  for (const m of matched) paces.push([m.pattern, await paceOf(m)]);
  if (seconds === undefined) return { budget: goal.budget, effort: efforts[0]!, paces };
  const flops = batch * length * trainFlopsPerToken(matched[0]!.model, length);
  const budgetOf = (steps: number) => (fill === "flops" ? { flops: steps * flops } : { steps });
  const known = new Map(paces);
  const { steps, effort } = fitSteps(SHARE * (seconds - clock() - later), efforts, (steps, effort) => {
    const tried = { ...settings, ...effort, goal: { ...goal, budget: budgetOf(steps) } };
    return totalForecast(tried, match(variants, model, tried.goal), known, {
      text: source.bytesPerToken !== undefined,
    });
  });
  return { budget: budgetOf(steps), effort, paces };
}
