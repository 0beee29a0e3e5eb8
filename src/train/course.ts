import type { Batch, Source } from "../data/source.ts";
import { turn } from "../device/turn.ts";
import type { FolderFile } from "../file/atomic.ts";
import type { Parameter } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import type { Device } from "../tensor/tensor.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { Optimiser, type OptimiserSettings } from "./optimiser.ts";
import { rateAt } from "./schedule.ts";

/** How steps follow each other, whatever they train. */
export interface CourseSettings {
  readonly optimiser: OptimiserSettings;
  readonly rate: number;
  readonly warmup: number;
  readonly floor: number;
  readonly steps: number;
  /** Rows per batch and tokens per row. */
  readonly batch: number;
  readonly length: number;
  readonly seed: number;
  /** Held-out loss is measured every so many steps, and after the last. */
  readonly evaluateEvery: number;
  readonly heldOutBatches: number;
  /** The source's name: a checkpoint is not continued on other data. */
  readonly source: string;
}

/** What is trained, and how. */
export interface Course {
  /** What steps change, by name, and in the order of gradients. */
  readonly weights: Weights;
  readonly parameters: readonly Parameter[];
  /** One step in place: the loss before it. */
  step(batch: Batch, optimiser: Optimiser, rate: number): Promise<number>;
  heldOut(): Promise<number>;
  /** The config.json of a checkpoint, where one shall lie beside its weights. */
  readonly config?: object | undefined;
}

/** Losses after the listed steps; null where a loss was not finite. */
export interface Curve {
  readonly steps: number[];
  readonly losses: (number | null)[];
}

/** Where a run stands. */
export interface Progress {
  step: number;
  readonly training: Curve;
  readonly heldOut: Curve;
  /** Seconds spent in steps. */
  seconds: number;
}

/** How a course went. */
export interface CourseResult extends Progress {
  /** Held-out loss after the last step, nats per token; null if the run diverged. */
  readonly loss: number | null;
  readonly tokensPerSecond: number;
  /** Whether all steps were run; false after an interruption. */
  readonly complete: boolean;
}

/** What a caller may want of a run besides its result. */
export interface TrainHooks {
  readonly signal?: AbortSignal | undefined;
  /** Before the first step: 0, or where a checkpoint stood. */
  readonly onStart?: (progress: Progress) => void;
  readonly onStep?: (progress: Progress, loss: number) => void;
  /**
   * Where to save every `every` steps and on interruption, and to continue from; `kept` follows each time it was saved. Once `lost`
   * aborts the folder is somebody else's, and nothing is saved any more.
   */
  readonly checkpoint?: {
    readonly dir: string;
    readonly every: number;
    readonly kept?: () => Promise<void>;
    readonly lost?: AbortSignal;
    /** What belongs beside the weights, such as the tokenizer.json of the text. */
    readonly beside?: readonly FolderFile[];
  };
}

/**
 * Takes all steps of a course, or goes on from a checkpoint exactly where it stopped. Throws FormatError for a checkpoint of other
 * settings, DeviceError where memory or disk ends.
 */
export async function follow(
  settings: CourseSettings,
  course: Course,
  source: Source,
  device: Device,
  hooks: TrainHooks = {},
): Promise<CourseResult> {
  const { weights, parameters, config } = course;
  const optimiser = new Optimiser(device, parameters, settings.optimiser);
  const { checkpoint, signal } = hooks;
  const trained = new Map(parameters.map(({ name }) => [name, weights.get(name)!]));
  const progress: Progress = (checkpoint && (await loadCheckpoint(checkpoint.dir, settings, trained, optimiser))) ?? {
    step: 0,
    training: { steps: [], losses: [] },
    heldOut: { steps: [], losses: [] },
    seconds: 0,
  };
  hooks.onStart?.(progress);
  const { steps, batch, length } = settings;
  const times: number[] = [];
  let diverged = false;
  while (progress.step < steps && !signal?.aborted && !diverged) {
    const { step } = progress;
    const tokens = source.batch(step, batch, length);
    const start = performance.now();
    const loss = await course.step(tokens, optimiser, rateAt(settings, step));
    times.push((performance.now() - start) / 1000);
    progress.seconds += times.at(-1)!;
    progress.step++;
    progress.training.steps.push(progress.step);
    progress.training.losses.push(Number.isFinite(loss) ? loss : null);
    diverged = !Number.isFinite(loss);
    if (progress.step % settings.evaluateEvery === 0 || progress.step === steps) await evaluate();
    hooks.onStep?.(progress, loss);
    if (
      checkpoint &&
      Number.isFinite(checkpoint.every) &&
      (progress.step % checkpoint.every === 0 || progress.step === steps)
    )
      await save();
    await turn();
  }
  if (signal?.aborted && checkpoint && progress.step < steps) await save();
  optimiser.free();
  times.sort((a, b) => a - b);
  const middle = times[times.length >> 1] ?? progress.seconds / Math.max(1, progress.step);
  return {
    ...progress,
    loss: diverged ? null : (progress.heldOut.losses.at(-1) ?? null),
    tokensPerSecond: (batch * length) / middle,
    complete: diverged || progress.step >= steps,
  };

  async function save(): Promise<void> {
    if (checkpoint!.lost?.aborted) return;
    await saveCheckpoint(
      checkpoint!.dir,
      { settings, config, beside: checkpoint!.beside },
      trained,
      optimiser,
      progress,
    );
    await checkpoint!.kept?.();
  }

  async function evaluate(): Promise<void> {
    const loss = await course.heldOut();
    progress.heldOut.steps.push(progress.step);
    progress.heldOut.losses.push(Number.isFinite(loss) ? loss : null);
  }
}
