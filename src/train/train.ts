import type { Source } from "../data/source.ts";
import { turn } from "../device/turn.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { type Model, parametersOf, trainFlops } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Device } from "../tensor/tensor.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { initialWeights } from "./initial.ts";
import { Optimiser, type OptimiserSettings } from "./optimiser.ts";
import { rateAt } from "./schedule.ts";
import { heldOutLoss, trainStep } from "./step.ts";

/** All that decides a training run; two runs of equal settings are equal bit for bit. */
export interface TrainSettings {
  readonly pattern: string;
  readonly model: ModelSettings;
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
  /** Seconds spent in steps, and in those after the first five. */
  seconds: number;
}

/** What a training run leaves: the model and its weights, which are the caller's to free, and how it went. */
export interface TrainResult extends Progress {
  readonly model: Model;
  readonly weights: Weights;
  /** Held-out loss after the last step, nats per token; null if the run diverged. */
  readonly loss: number | null;
  readonly tokensPerSecond: number;
  /** Whether all steps were run; false after an interruption. */
  readonly complete: boolean;
}

/** What a caller may want of a run besides its result. */
export interface TrainHooks {
  readonly signal?: AbortSignal;
  /** Before the first step: 0, or where a checkpoint stood. */
  readonly onStart?: (progress: Progress) => void;
  readonly onStep?: (progress: Progress, loss: number) => void;
  /** Where to save every `every` steps and on interruption, and to continue from; `kept` follows each time it was saved. */
  readonly checkpoint?: { readonly dir: string; readonly every: number; readonly kept?: () => Promise<void> };
}

/** FLOPs of training on one token: three times those of a forward pass, since each product has two in its gradient. */
export function trainFlopsPerToken(model: Model, length: number): number {
  return trainFlops(model, length) / length;
}

/** Work of the first `step` steps in units of one step: a held-out batch is a forward pass, a third of its FLOPs. */
export function trainWork(
  { steps, evaluateEvery, heldOutBatches }: Pick<TrainSettings, "steps" | "evaluateEvery" | "heldOutBatches">,
  step: number,
): number {
  const evaluations = Math.floor(step / evaluateEvery) + (step === steps && steps % evaluateEvery !== 0 ? 1 : 0);
  return step + (evaluations * heldOutBatches) / 3;
}

/**
 * Trains one model from a seed, or goes on from a checkpoint exactly where it stopped. The caller frees the weights.
 * Throws FormatError for a checkpoint of other settings, DeviceError where memory or disk ends.
 */
export async function train(
  settings: TrainSettings,
  source: Source,
  device: Device,
  hooks: TrainHooks = {},
): Promise<TrainResult> {
  const model = buildModel(settings.pattern, { ...settings.model, vocabulary: source.vocabulary });
  const weights = initialWeights(model, device, settings.seed);
  const optimiser = new Optimiser(device, parametersOf(model), settings.optimiser);
  const { checkpoint, signal } = hooks;
  const progress: Progress = (checkpoint && (await loadCheckpoint(checkpoint.dir, settings, weights, optimiser))) ?? {
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
    const { loss, flops } = await trainStep(model, weights, optimiser, tokens, rateAt(settings, step));
    times.push((performance.now() - start) / 1000);
    progress.seconds += times.at(-1)!;
    if (step === 0) checkFlops(flops, model, batch, length);
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
    model,
    weights,
    loss: diverged ? null : (progress.heldOut.losses.at(-1) ?? null),
    tokensPerSecond: (batch * length) / middle,
    complete: diverged || progress.step >= steps,
  };

  async function save(): Promise<void> {
    await saveCheckpoint(checkpoint!.dir, settings, weights, optimiser, progress);
    await checkpoint!.kept?.();
  }

  async function evaluate(): Promise<void> {
    const loss = await heldOutLoss(model, weights, source, { batches: settings.heldOutBatches, count: batch, length });
    progress.heldOut.steps.push(progress.step);
    progress.heldOut.losses.push(Number.isFinite(loss) ? loss : null);
  }
}

/** The FLOPs that the definitions declare are those that ran, or the comparison would be of something else. */
function checkFlops(ran: number, model: Model, batch: number, length: number): void {
  const declared = batch * length * trainFlopsPerToken(model, length);
  if (Math.abs(ran - declared) > declared * 1e-9)
    throw new DeviceError(`internal: a step ran ${ran} FLOPs, its definitions declare ${declared}`);
}
