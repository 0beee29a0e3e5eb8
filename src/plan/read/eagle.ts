import { z } from "zod";
import { numbersIn } from "../../attention/define.ts";
import { assume, type Blueprint, type LayerKind } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { readKeys } from "./settings.ts";

const layerIds = z.array(z.number().int().min(-1).max(limits.layers)).max(64).nullish();
const third = z.object({
  vocab_size: count(limits.vocabulary),
  draft_vocab_size: count(limits.vocabulary).nullish(),
  target_hidden_size: count(limits.width).nullish(),
  eagle_aux_hidden_state_layer_ids: layerIds,
  eagle_config: z
    .object({ use_aux_hidden_state: z.boolean().nullish(), eagle_aux_hidden_state_layer_ids: layerIds })
    .nullish(),
});
const classes = z.array(z.string().max(80)).max(8);
const first = z.object({ bias: z.boolean().nullish() });

/** Keys of a head alone, which its layers have nothing to do with. */
const own = ["draft_vocab_size", "target_hidden_size", "eagle_aux_hidden_state_layer_ids", "eagle_config", "bias"];

/** A head that proposes tokens, as a config of its layers alone and what makes the head of their blueprint. */
export interface Head {
  readonly config: Config;
  readonly finish: (blueprint: Blueprint) => Blueprint;
}

/**
 * EAGLE's heads, by their architectures: EAGLE-3 (`LlamaForCausalLMEagle3`, `Eagle3LlamaForCausalLM` and kin), which joins hidden states
 * of three layers, whose first layer reads embedding and hidden state side by side, and which has a head of its own vocabulary; and EAGLE
 * (`EagleLlamaForCausalLM`), which joins embedding and hidden state and borrows the model's head. Embeddings are the model's own. Sizes
 * as SafeAILab/EAGLE and SpecForge have them: the head of Llama-3.1-8B has 424.7 M parameters, a file of 811 MiB. Undefined for others.
 */
export function headOf(config: Config): Head | undefined {
  if (!Array.isArray(config.architectures)) return undefined;
  const names = classes.safeParse(config.architectures);
  const eagle = names.data?.find((name) => /eagle/i.test(name));
  if (!eagle) return undefined;
  const layers = Object.fromEntries(Object.entries(config).filter(([key]) => !own.includes(key)));
  return { config: layers, finish: /eagle3/i.test(eagle) ? thirdOf(config) : firstOf(config) };
}

function thirdOf(config: Config): Head["finish"] {
  const keys = readKeys(config, third);
  const { use_aux_hidden_state: joins = true, eagle_aux_hidden_state_layer_ids: ids } = keys.eagle_config ?? {};
  const joined = joins === false ? 0 : (ids ?? keys.eagle_aux_hidden_state_layer_ids ?? [0, 0, 0]).length;
  return (blueprint) => {
    const { width: d, layers, extra } = blueprint;
    const [opening, ...others] = layers as [LayerKind, ...LayerKind[]];
    // The norm of the hidden state, and as many rows again of each matrix that reads the stream.
    const wide = { ...opening, count: 1, extra: opening.extra + d + readingRows(opening) };
    const rest = opening.count > 1 ? [{ ...opening, count: opening.count - 1 }] : [];
    return note({
      ...blueprint,
      architecture: "eagle3",
      vocabulary: keys.draft_vocab_size ?? keys.vocab_size,
      tied: true,
      layers: [wide, ...rest, ...others],
      extra: extra + joined * (keys.target_hidden_size ?? d) * d,
    });
  };
}

function firstOf(config: Config): Head["finish"] {
  const { bias } = readKeys(config, first);
  return (blueprint) => {
    const { width: d } = blueprint;
    // The first layer has no norm before attention, and there is none at the end.
    return note({
      ...blueprint,
      architecture: "eagle",
      vocabulary: 0,
      tied: true,
      extra: 2 * d * d + (bias === false ? 0 : d) - d,
    });
  };
}

const note = (blueprint: Blueprint) =>
  assume(
    blueprint,
    "a head that proposes tokens: its model's embedding is not counted; --draft puts it beside the model",
  );

/** Parameters of the matrices that read a layer's input. */
function readingRows({ attention: { variant, sizes } }: LayerKind): number {
  return Object.values(variant.params(sizes))
    .filter((axes): axes is string => typeof axes === "string" && axes.startsWith("d "))
    .reduce((sum, axes) => sum + numbersIn(axes, sizes), 0);
}
