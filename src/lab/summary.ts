/** What the runs of a comparison say together. */
import { declaredBytes } from "../attention/cache.ts";
import type { Source } from "../data/source.ts";
import { modelSize } from "../model/model.ts";
import { trainFlopsPerToken } from "../train/train.ts";
import { cachePerLayer, type Matched } from "./match.ts";
import { levelOf } from "./resolve.ts";
import type { VariantResult } from "./result.ts";
import type { RunRecord } from "./run.ts";
import type { CompareSettings } from "./schedule.ts";
import { meanInterval, median, pairedDifference } from "./statistics.ts";

/**
 * The results of variants in their order, the first of them the reference; each has one finished run at least. Differences hold with
 * 95 % over so many looks.
 */
export function summarise(
  records: ReadonlyMap<Matched, readonly RunRecord[]>,
  settings: CompareSettings,
  source: Source,
  looks = 1,
): VariantResult[] {
  const level = levelOf(looks);
  const results = [...records].map(([m, runs]) => summary(m, runs, settings, source));
  return results.map((result, i) =>
    i === 0
      ? result
      : { ...result, versus: { spec: results[0]!.spec, ...pairedDifference(result.seeds, results[0]!.seeds, level) } },
  );
}

/** The rate at which the first seed ended lowest. */
export function bestRate(kept: readonly RunRecord[], rates: readonly number[]): number {
  if (rates.length === 1) return rates[0]!;
  const loss = (rate: number) => kept.find((r) => r.rate === rate && r.seed === 1)?.loss ?? Number.POSITIVE_INFINITY;
  return rates.toSorted((a, b) => loss(a) - loss(b))[0]!;
}

/** What all finished runs of one variant say together; of several rates, those of the best. */
function summary(m: Matched, all: readonly RunRecord[], settings: CompareSettings, source: Source): VariantResult {
  const rate = bestRate(all, settings.rates);
  const records = all.filter((r) => r.rate === rate);
  const { length, batch } = settings.goal;
  const perByte = source.bytesPerToken;
  const bits = (loss: number) => loss / Math.LN2 / perByte!;
  const losses = records.flatMap((r) => (r.loss === null ? [] : [r.loss]));
  const whole = losses.length === records.length;
  const accuracies = records.flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy]));
  const nothing = { mean: null, low: null, high: null };
  const speeds = records.find((r) => r.speeds)?.speeds;
  const { g, h, n, r, v, c, q, o, d } = m.model.layers[0]!.attention.sizes;
  const held = (tokens: number) =>
    m.model.layers.reduce((sum, { attention }) => sum + declaredBytes(attention, tokens), 0);
  const shares = records.flatMap(({ mfu }) => (mfu === undefined ? [] : [mfu]));
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
      ...(record.accuracy === undefined ? {} : { accuracy: record.accuracy }),
      training: record.training,
      heldOut: record.heldOut,
    })),
    loss: whole ? meanInterval(losses) : nothing,
    ...(perByte ? { bitsPerByte: whole ? meanInterval(losses.map(bits)) : nothing } : {}),
    ...(accuracies.length === records.length ? { accuracy: meanInterval(accuracies) } : {}),
    train: {
      tokensPerSecond: median(records.map((record) => record.tokensPerSecond)),
      ...(shares.length === records.length ? { mfu: median(shares) } : {}),
    },
    prefill: speeds?.prefill ?? [],
    decode: speeds?.decode ?? [],
    ...(speeds ? { memory: speeds.memory } : {}),
    samples: records.flatMap((record) => (record.sample ? [{ seed: record.seed, ...record.sample }] : [])),
  };
}
