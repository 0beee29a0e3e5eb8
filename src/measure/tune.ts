import { type Machine, type Rate, type Work, workSeconds } from "../cost/crossover.ts";
import type { WebgpuDevice } from "../device/webgpu.ts";
import { type Device, Scope, scope } from "../tensor/tensor.ts";
import { batchTimes, type Clock, timesAfter, typicalTime, wall } from "./clock.ts";
import { regress } from "./regression.ts";
import { extentOf, type Grain, grainOf, type Sample, samplesOf } from "./sample.ts";

/** How long to measure, by which clock, and who watches. */
export interface TuneOptions {
  /** Seconds of measuring in all; 9 unless given. */
  readonly seconds?: number;
  /** The wall's unless given. */
  readonly clock?: Clock;
  /**
   * Rounds in which every kernel has its turn, so that whoever disturbs one leaves others alone; 5 unless given, and fewer where these
   * would take several times as long as they should.
   */
  readonly rounds?: number;
  /**
   * The part of the usual contexts and operands that is measured: 1 unless given. A quarter takes 0.4 GB of memory rather than 1.4. Where a
   * processor stands in for a GPU it is less (see `extentOf`).
   */
  readonly share?: number;
  readonly watch?: (done: number, total: number, what: string) => void;
  readonly signal?: AbortSignal;
}

/** Times as long as was asked for, after which no round begins. */
const LATE = 3;

/**
 * Measures a device in shapes like those of attention layers, and unlike those of the models that its predictions are checked on:
 * each kernel at several sizes, operands from memory, and the rates that explain these times best.
 */
export async function tune(device: Device, options: TuneOptions = {}): Promise<Machine> {
  const { seconds = 9, rounds = 5, clock = wall, watch, signal } = options;
  const grain = grainOf(device.build);
  const extent = extentOf(options.share ?? 1, (device as Partial<WebgpuDevice>).traits?.software ?? false);
  const own = new Scope(device);
  try {
    const samples = own.run(() => samplesOf(device, extent, grain));
    // What compiles its kernels would be timed with that.
    await device.rehearse?.(() => {
      for (const { before, run } of samples) {
        before?.();
        scope(device, () => run(0));
      }
    });
    const times = samples.map((): number[] => []);
    const total = rounds * samples.length;
    const late = wall() + LATE * seconds;
    for (let turn = 0; turn < total; turn++) {
      const i = turn % samples.length;
      if (i === 0 && turn > 0 && wall() > late) break;
      const { kernel, before, run } = samples[i]!;
      watch?.(turn, total, kernel);
      signal?.throwIfAborted();
      let at = turn;
      const once = { run: () => scope(device, () => void run(at++)), fence: () => device.fence() };
      const time = seconds / total;
      times[i]!.push(...(await (before ? timesAfter(before, once, time) : batchTimes(once, time, clock))));
    }
    const least = times.map(typicalTime);
    watch?.(total, total, "");
    return machineOf(samples, least, grain);
  } finally {
    own.end();
    for (const cache of extent.caches) cache.free();
  }
}

/** The machine whose rates explain the samples' times. */
function machineOf(samples: readonly Sample[], least: readonly number[], grain: Grain): Machine {
  const of = (kernel: Sample["kernel"]) =>
    samples.flatMap(({ kernel: own, work }, i) => (own === kernel ? [{ work, seconds: least[i]! }] : []));
  const rate = (kernel: Sample["kernel"]) => rateOf(of(kernel));
  const few = rate("few queries");
  const [kept] = of("narrow keys");
  const widening = kept!.seconds - workSeconds({}, few, kept!.work);
  const [start] = of("ops");
  return {
    contract: { few: rate("few rows"), many: rate("many rows") },
    attend: { few, many: rate("many queries"), shared: rate("a shared key") },
    ...grain,
    widen: widening > 0 ? kept!.work.bytes / 2 / widening : undefined,
    op: start!.seconds / start!.work.flops,
  };
}

/** The rates that explain times best; where noise leaves less than a hundredth of a time to one of them, that hundredth. */
export function rateOf(samples: readonly { readonly work: Work; readonly seconds: number }[]): Rate {
  const features = samples.map(({ work: { bytes, flops, rows = 0 } }) => [bytes, flops, rows]);
  const x = regress(
    features,
    samples.map(({ seconds }) => seconds),
  );
  const least = (j: number) => Math.min(...samples.map(({ seconds }, i) => seconds / features[i]![j]! / 100));
  const [bytes, flops] = [0, 1].map((j) => 1 / Math.max(x[j]!, least(j)));
  return { bytes: bytes!, flops: flops!, rows: x[2]! > 0 ? 1 / x[2]! : undefined };
}
