/** Which runs a comparison has, in which order, and what they will take. */
import { roundsFor } from "../measure/measure.ts";
import type { ModelSettings } from "../model/build.ts";
import { formsOf, forwardFlops } from "../model/model.ts";
import type { OptimiserSettings } from "../train/optimiser.ts";
import { type TrainSettings, trainFlopsPerToken, trainWork } from "../train/train.ts";
import { sampleTokens } from "./continuation.ts";
import type { Goal, Matched } from "./match.ts";
import type { Pace } from "./pace.ts";
import type { Until } from "./resolve.ts";

/** All that decides a comparison. */
export interface CompareSettings {
  readonly variants: readonly string[];
  /** Seeds of each variant; with `until`, at the first look. */
  readonly seeds: number;
  /** Adds seeds to the pairs that are not told apart yet. */
  readonly until?: Until | undefined;
  readonly model: Omit<ModelSettings, "vocabulary">;
  readonly goal: Goal;
  readonly optimiser: OptimiserSettings;
  /** Peak learning rates; with several, each variant keeps the one whose first seed ends lowest. */
  readonly rates: readonly number[];
  readonly warmup: number;
  readonly floor: number;
  readonly evaluations: number;
  readonly heldOutBatches: number;
  readonly contexts: readonly number[];
  /** How often each speed is measured; 7 unless given. */
  readonly rounds?: number | undefined;
}

/** One training run; `sweep` is its rate where it is one of several that are tried. */
export interface Run {
  readonly matched: Matched;
  readonly seed: number;
  readonly sweep?: number | undefined;
}

/**
 * Seed by seed, so that an interruption leaves pairs. Where there are several rates, all of them are tried with the first seed,
 * and the others take the best. With `from`, what comes to the seeds before it.
 */
export function runsOf(
  { rates, seeds }: Pick<CompareSettings, "rates" | "seeds">,
  matched: readonly Matched[],
  from = 1,
): Run[] {
  const swept = rates.length > 1;
  const runs: Run[] = [];
  if (swept && from === 1)
    for (const m of matched) for (const sweep of rates) runs.push({ matched: m, seed: 1, sweep });
  for (let seed = Math.max(from, swept ? 2 : 1); seed <= seeds; seed++)
    for (const m of matched) runs.push({ matched: m, seed });
  return runs;
}

/** How a run of a variant is trained. */
export function trainSettings(
  settings: CompareSettings,
  m: Matched,
  { seed, rate, source }: Pick<TrainSettings, "seed" | "rate" | "source">,
): TrainSettings {
  return {
    pattern: m.pattern,
    model: m.settings,
    optimiser: settings.optimiser,
    rate,
    warmup: Math.min(settings.warmup, Math.ceil(m.steps / 5)),
    floor: settings.floor,
    steps: m.steps,
    batch: settings.goal.batch,
    length: settings.goal.length,
    seed,
    evaluateEvery: Math.max(1, Math.ceil(m.steps / settings.evaluations)),
    heldOutBatches: settings.heldOutBatches,
    source,
  };
}

/** What a run takes, in the units of its pace: up to and with each step, and what follows the last. */
export interface Forecast {
  readonly training: (step: number) => number;
  readonly after: number;
}

/** What is learnt: of text, the first seed writes a sample. */
export interface Learnt {
  readonly text: boolean;
}

/** What a run will take at a pace. */
export function forecast(settings: CompareSettings, { matched, seed }: Run, pace: Pace, { text }: Learnt): Forecast {
  const run = trainSettings(settings, matched, { seed, rate: 0, source: "" });
  const sample = text ? sampleTokens(settings.goal.length) * pace.token : 0;
  return {
    training: (step) => pace.step * trainWork(run, step),
    after: seed === 1 ? sample + measuringSeconds(settings, matched, pace) : 0,
  };
}

/** What all runs will take together. */
export function totalForecast(
  settings: CompareSettings,
  matched: readonly Matched[],
  paces: ReadonlyMap<string, Pace>,
  learnt: Learnt,
): number {
  return forecastOf(settings, runsOf(settings, matched), paces, learnt);
}

/** What some runs will take together. */
export function forecastOf(
  settings: CompareSettings,
  runs: readonly Run[],
  paces: ReadonlyMap<string, Pace>,
  learnt: Learnt,
): number {
  return runs.reduce((sum, run) => {
    const { training, after } = forecast(settings, run, paces.get(run.matched.pattern)!, learnt);
    return sum + training(run.matched.steps) + after;
  }, 0);
}

/** A pace in FLOPs, where none was measured: a token alone takes as long as some dozens in a batch. */
export function flopsPace({ model }: Matched, { batch, length }: Goal): Pace {
  const flops = trainFlopsPerToken(model, length);
  return { step: batch * length * flops, token: 16 * flops };
}

/** What measuring prefill and decoding takes: FLOPs as quick as in training, and for a token at least what one takes. */
function measuringSeconds({ contexts, rounds, goal }: CompareSettings, { model }: Matched, pace: Pace): number {
  const flop = pace.step / (goal.batch * goal.length * trainFlopsPerToken(model, goal.length));
  let sum = 0;
  for (const context of contexts)
    for (const form of formsOf(model)) {
      const { prefill, decode } = roundsFor(context, rounds);
      sum += prefill * (pace.token + flop * forwardFlops(model, context, 0, form));
      sum += decode * (pace.token + flop * forwardFlops(model, 1, context, form));
    }
  return sum;
}
