import { idsOf, type Source } from "../data/source.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { type Model, parametersOf, trainFlops } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Device } from "../tensor/tensor.ts";
import { type CourseResult, type CourseSettings, follow, type TrainHooks } from "./course.ts";
import { initialWeights } from "./initial.ts";
import { heldOutLoss, trainStep } from "./step.ts";

export type { Curve, Progress, TrainHooks } from "./course.ts";

/** All that decides a training run; two runs of equal settings are equal bit for bit. */
export interface TrainSettings extends CourseSettings {
  readonly pattern: string;
  readonly model: ModelSettings;
}

/** What a training run leaves: the model and its weights, which are the caller's to free, and how it went. */
export interface TrainResult extends CourseResult {
  readonly model: Model;
  readonly weights: Weights;
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
  const { batch: count, length, heldOutBatches: batches } = settings;
  let checked = false;
  const result = await follow(
    settings,
    {
      weights,
      parameters: parametersOf(model),
      config: configOf(settings, source),
      async step(batch, optimiser, rate) {
        const { loss, flops } = await trainStep(model, weights, optimiser, batch, rate);
        if (!checked) checkFlops(flops, model, count, length);
        checked = true;
        return loss;
      },
      heldOut: () => heldOutLoss(model, weights, source, { batches, count, length }),
    },
    source,
    device,
    hooks,
  );
  return { ...result, model, weights };
}

/** A checkpoint's config.json: names and layouts are Biform's own. */
function configOf({ model, pattern, length }: TrainSettings, source: Source) {
  return {
    architectures: ["BiformForCausalLM"],
    model_type: "biform",
    attention: pattern,
    vocab_size: model.vocabulary,
    hidden_size: model.width,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    intermediate_size: model.intermediate ?? null,
    tie_word_embeddings: model.tied ?? true,
    attention_dims: model.dims ?? "scaled",
    attention_scale: model.scale ?? 1,
    rope_theta: model.base ?? 10000,
    rms_norm_eps: 1e-6,
    max_position_embeddings: length,
    dtype: "float32",
    ...idsOf(source),
  };
}

/** The FLOPs that the definitions declare are those that ran, or the comparison would be of something else. */
function checkFlops(ran: number, model: Model, batch: number, length: number): void {
  const declared = batch * length * trainFlopsPerToken(model, length);
  if (Math.abs(ran - declared) > declared * 1e-9)
    throw new DeviceError(`internal: a step ran ${ran} FLOPs, its definitions declare ${declared}`);
}
