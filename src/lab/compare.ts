import type { Source } from "../data/source.ts";
import type { Device } from "../tensor/tensor.ts";
import type { Progress } from "../train/train.ts";
import { type Matched, match } from "./match.ts";
import type { Pace } from "./pace.ts";
import { looksOf, unresolved } from "./resolve.ts";
import type { VariantResult } from "./result.ts";
import { performRun, type RunRecord } from "./run.ts";
import { type CompareSettings, flopsPace, forecast, forecastOf, runsOf } from "./schedule.ts";
import type { Shelf } from "./shelf.ts";
import { bestRate, summarise } from "./summary.ts";

/** Follows a comparison: which run, how far all is (0 to 1), that run's losses so far, and the latest where there is one. */
export type Watch = (now: {
  spec: string;
  seed: number;
  done: number;
  progress: Progress;
  loss: number | undefined;
}) => void;

/** What stands about a run in progress and about finished ones, so that an interrupted comparison goes on. */
export interface CompareHooks {
  readonly signal: AbortSignal;
  readonly watch: Watch;
  readonly shelf: Shelf<RunRecord>;
  /** What a step and a token of each variant take, so that `watch` knows how far all is; by FLOPs unless given. */
  readonly paces?: ReadonlyMap<string, Pace> | undefined;
}

/**
 * Trains every variant at the matched budget with every seed, on the same batches in the same order, and measures its speeds.
 * Undefined where it was interrupted: what is on the shelf then lets a later call go on exactly.
 * Throws ShapeError for a spec that cannot be built, DeviceError where memory or disk ends.
 */
export async function compare(
  settings: CompareSettings,
  source: (seed: number) => Source,
  device: Device,
  { signal, watch, shelf, paces }: CompareHooks,
): Promise<VariantResult[] | undefined> {
  const { vocabulary, bytesPerToken } = source(1);
  const matched = match(settings.variants, { ...settings.model, vocabulary }, settings.goal);
  const pace = new Map(matched.map((m) => [m.pattern, paces?.get(m.pattern) ?? flopsPace(m, settings.goal)]));
  const learnt = { text: bytesPerToken !== undefined };
  const looks = looksOf(settings.seeds, settings.until);
  const records = new Map<Matched, RunRecord[]>(matched.map((m) => [m, []]));
  const finish = () => summarise(records, settings, source(1), looks.length);
  let [done, total, open, before] = [0, 0, matched, 0];
  for (const seeds of looks) {
    const runs = runsOf({ ...settings, seeds }, open, before + 1);
    total += forecastOf(settings, runs, pace, learnt);
    for (const run of runs) {
      const { matched: m, seed, sweep } = run;
      const kept = records.get(m)!;
      const rate = sweep ?? bestRate(kept, settings.rates);
      const name = `${m.pattern}, seed ${seed}, rate ${rate}`;
      let record = await shelf.get(name);
      const { training, after } = forecast(settings, run, pace.get(m.pattern)!, learnt);
      if (!record) {
        const data = source(seed);
        const tell = (progress: Progress, loss?: number) =>
          watch({ spec: m.pattern, seed, done: (done + training(progress.step)) / total, progress, loss });
        record = await performRun(settings, { matched: m, seed, rate }, data, device, {
          signal,
          checkpoint: { dir: shelf.folder(name), every: Number.POSITIVE_INFINITY },
          onStart: tell,
          onStep: tell,
        });
        if (!record) return undefined;
        await shelf.put(name, record);
      }
      kept.push(record);
      done += training(m.steps) + after;
    }
    before = seeds;
    const { until } = settings;
    const undecided = until ? unresolved(finish(), until) : [];
    if (undecided.length === 0) break;
    open = matched.filter((m, i) => i === 0 || undecided.includes(m.pattern));
  }
  return finish();
}
