import type { Source } from "../data/source.ts";
import type { ModelSettings } from "../model/build.ts";
import type { Device } from "../tensor/tensor.ts";
import type { OptimiserSettings } from "../train/optimiser.ts";
import { train, trainFlopsPerToken } from "../train/run.ts";

/** What a few trial steps are run with. */
export interface Trial {
  readonly model: ModelSettings;
  readonly optimiser: OptimiserSettings;
  readonly rate: number;
  readonly batch: number;
  readonly length: number;
}

/** Seconds that a FLOP of training each of these patterns takes on this machine, by eight steps of each. */
async function secondsPerFlop(
  patterns: readonly string[],
  trial: Trial,
  source: Source,
  device: Device,
): Promise<number> {
  let seconds = 0;
  for (const pattern of patterns) {
    const result = await train(
      {
        ...trial,
        pattern,
        warmup: 1,
        floor: 1,
        steps: 8,
        seed: 1,
        evaluateEvery: 8,
        heldOutBatches: 1,
        source: source.name,
      },
      source,
      device,
    );
    seconds += 1 / (result.tokensPerSecond * trainFlopsPerToken(result.model, trial.length));
    for (const t of result.weights.values()) t.free();
  }
  return seconds;
}

/** FLOPs for each run so that `runs` runs of every pattern take these minutes; a tenth is left for all else. */
export async function flopsForMinutes(
  minutes: number,
  runs: number,
  patterns: readonly string[],
  trial: Trial,
  source: Source,
  device: Device,
): Promise<number> {
  return (0.9 * 60 * minutes) / (runs * (await secondsPerFlop(patterns, trial, source, device)));
}
