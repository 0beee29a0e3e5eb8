import { declaredBytes } from "../attention/cache.ts";
import type { Source } from "../data/source.ts";
import { measure, type Speeds } from "../measure/measure.ts";
import { modelSize } from "../model/model.ts";
import type { Device } from "../tensor/tensor.ts";
import { type Curve, type Progress, train, trainFlopsPerToken } from "../train/train.ts";
import { writeSample } from "./continuation.ts";
import { cachePerLayer, type Matched, match } from "./match.ts";
import type { Pace } from "./pace.ts";
import type { VariantResult } from "./result.ts";
import { type CompareSettings, flopsPace, forecast, runsOf, totalForecast, trainSettings } from "./schedule.ts";
import type { Shelf } from "./shelf.ts";
import { meanInterval, pairedDifference } from "./statistics.ts";

/** One finished run, as it is kept to resume from. */
export interface RunRecord {
  readonly seed: number;
  readonly rate: number;
  readonly loss: number | null;
  readonly training: Curve;
  readonly heldOut: Curve;
  readonly tokensPerSecond: number;
  readonly sample: { readonly prompt: string; readonly text: string } | null;
  /** Measured after the first seed. */
  readonly speeds: Speeds | null;
}

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
  const total = totalForecast(settings, matched, pace, learnt);
  let done = 0;
  const records = new Map<Matched, RunRecord[]>(matched.map((m) => [m, []]));
  for (const run of runsOf(settings, matched)) {
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
      const result = await train(trainSettings(settings, m, { seed, rate, source: data.name }), data, device, {
        signal,
        checkpoint: { dir: shelf.folder(name), every: Number.POSITIVE_INFINITY },
        onStart: tell,
        onStep: tell,
      });
      if (!result.complete) {
        for (const t of result.weights.values()) t.free();
        return undefined;
      }
      record = {
        seed,
        rate,
        loss: result.loss,
        training: thin(result.training, 200),
        heldOut: result.heldOut,
        tokensPerSecond: result.tokensPerSecond,
        sample:
          seed === 1 && data.bytesPerToken !== undefined
            ? await writeSample(result.model, result.weights, data, settings.goal.length)
            : null,
        speeds:
          seed === 1
            ? await measure(m.model, result.weights, settings.contexts, { rounds: settings.rounds, signal })
            : null,
      };
      for (const t of result.weights.values()) t.free();
      if (signal.aborted && record.speeds) return undefined;
      await shelf.put(name, record);
    }
    kept.push(record);
    done += training(m.steps) + after;
  }
  const results = matched.map((m) => summary(m, records.get(m)!, settings, source(1)));
  return results.map((result, i) =>
    i === 0
      ? result
      : { ...result, versus: { spec: results[0]!.spec, ...pairedDifference(result.seeds, results[0]!.seeds) } },
  );
}

function bestRate(kept: readonly RunRecord[], rates: readonly number[]): number {
  if (rates.length === 1) return rates[0]!;
  const loss = (rate: number) => kept.find((r) => r.rate === rate && r.seed === 1)?.loss ?? Number.POSITIVE_INFINITY;
  return rates.toSorted((a, b) => loss(a) - loss(b))[0]!;
}

function summary(m: Matched, all: readonly RunRecord[], settings: CompareSettings, source: Source): VariantResult {
  const rate = bestRate(all, settings.rates);
  const records = all.filter((r) => r.rate === rate);
  const { length, batch } = settings.goal;
  const perByte = source.bytesPerToken;
  const bits = (loss: number) => loss / Math.LN2 / perByte!;
  const losses = records.flatMap((r) => (r.loss === null ? [] : [r.loss]));
  const whole = losses.length === records.length;
  const nothing = { mean: null, low: null, high: null };
  const speeds = records.find((r) => r.speeds)?.speeds;
  const { g, h, n, r, v, c, q, o, d } = m.model.layers[0]!.attention.sizes;
  const held = (tokens: number) =>
    m.model.layers.reduce((sum, { attention }) => sum + declaredBytes(attention, tokens), 0);
  const rates = records.map((record) => record.tokensPerSecond).sort((a, b) => a - b);
  return {
    spec: m.pattern,
    parameters: modelSize(m.model),
    cacheValuesPerTokenPerLayer: cachePerLayer(m.model),
    cacheBytes: held(1) - held(0),
    stateBytes: held(0),
    trainFlops: m.steps * batch * length * trainFlopsPerToken(m.model, length),
    steps: m.steps,
    tokens: m.steps * batch * length,
    dims: { d, h, g, n, r, v, c, q, o, ...(settings.rates.length > 1 ? { rate } : {}) },
    ...(m.model.layers[0]!.feed.kind === "dense" ? { intermediate: m.model.layers[0]!.feed.f } : {}),
    unmatched: [...m.unmatched],
    seeds: records.map((record) => ({
      seed: record.seed,
      loss: record.loss,
      ...(perByte && record.loss !== null ? { bitsPerByte: bits(record.loss) } : {}),
      training: record.training,
      heldOut: record.heldOut,
    })),
    loss: whole ? meanInterval(losses) : nothing,
    ...(perByte ? { bitsPerByte: whole ? meanInterval(losses.map(bits)) : nothing } : {}),
    train: { tokensPerSecond: rates[rates.length >> 1]! },
    prefill: speeds?.prefill ?? [],
    decode: speeds?.decode ?? [],
    ...(speeds ? { memory: speeds.memory } : {}),
    samples: records.flatMap((record) => (record.sample ? [{ seed: record.seed, ...record.sample }] : [])),
  };
}

/** At most about `most` points: each the mean of its neighbourhood, so that a curve stays small and calm. */
function thin({ steps, losses }: Curve, most: number): Curve {
  const every = Math.ceil(steps.length / most);
  if (every <= 1) return { steps: [...steps], losses: [...losses] };
  const result: Curve = { steps: [], losses: [] };
  for (let i = 0; i < steps.length; i += every) {
    const part = losses.slice(i, i + every);
    const sum = part.reduce<number | null>((a, b) => (a === null || b === null ? null : a + b), 0);
    result.steps.push(steps[Math.min(i + every, steps.length) - 1]!);
    result.losses.push(sum === null ? null : sum / part.length);
  }
  return result;
}
