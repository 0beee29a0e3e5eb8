/** One training run of a comparison, and what is kept of it. */
import type { Source } from "../data/source.ts";
import { measure, type Speeds } from "../measure/measure.ts";
import type { Device } from "../tensor/tensor.ts";
import { heldOutAccuracy } from "../train/step.ts";
import { type Curve, type TrainHooks, train } from "../train/train.ts";
import { writeSample } from "./continuation.ts";
import type { Matched } from "./match.ts";
import { type CompareSettings, trainSettings } from "./schedule.ts";

/** One finished run, as it is kept to resume from. */
export interface RunRecord {
  readonly seed: number;
  readonly rate: number;
  readonly loss: number | null;
  /** The share of held-out targets that are the likeliest, where the data are a task and no text. */
  readonly accuracy?: number | undefined;
  readonly training: Curve;
  readonly heldOut: Curve;
  readonly tokensPerSecond: number;
  /** The share of the device's FLOP/s that training reached, where its peak was given. */
  readonly mfu?: number | undefined;
  readonly sample: { readonly prompt: string; readonly text: string } | null;
  /** Measured after the first seed. */
  readonly speeds: Speeds | null;
}

/**
 * Trains one variant from one seed at one peak rate; the first seed also measures speeds and, where the data are text, writes a
 * sample. Undefined where it was interrupted: the checkpoint of `hooks` then lets a later call go on exactly.
 * Throws FormatError for a checkpoint of other settings, DeviceError where memory or disk ends.
 */
export async function performRun(
  settings: CompareSettings,
  { matched, seed, rate }: { readonly matched: Matched; readonly seed: number; readonly rate: number },
  source: Source,
  device: Device,
  hooks: TrainHooks & { readonly signal: AbortSignal },
): Promise<RunRecord | undefined> {
  const run = trainSettings(settings, matched, { seed, rate, source: source.name });
  const result = await train(run, source, device, hooks);
  const { model, weights, loss, training, heldOut, tokensPerSecond } = result;
  try {
    if (!result.complete) return undefined;
    const { batch: count, length, heldOutBatches: batches } = run;
    const accuracy =
      source.bytesPerToken === undefined && loss !== null
        ? await heldOutAccuracy(model, weights, source, { batches, count, length })
        : undefined;
    const first = seed === 1;
    const sample =
      first && source.bytesPerToken !== undefined ? await writeSample(model, weights, source, length) : null;
    const { contexts, rounds } = settings;
    const speeds = first ? await measure(model, weights, contexts, { rounds, signal: hooks.signal }) : null;
    if (hooks.signal.aborted && speeds) return undefined;
    return { seed, rate, loss, accuracy, training: thin(training, 200), heldOut, tokensPerSecond, sample, speeds };
  } finally {
    for (const t of weights.values()) t.free();
  }
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
