import { z } from "zod";
import { assume, type Blueprint } from "../../cost/blueprint.ts";
import { type Config, count, limits } from "../../family/config.ts";
import { FormatError } from "../../tensor/error.ts";
import { borrowingOutside } from "./borrow.ts";
import type { Head } from "./eagle.ts";
import { readKeys } from "./settings.ts";

const schema = z.object({
  backbone_hidden_size: count(limits.width).default(1536),
  use_ordered_embeddings: z.boolean().nullish(),
  num_centroids: count(limits.vocabulary).default(2048),
});
const textSchema = z.object({
  num_hidden_layers: count(limits.layers),
  num_kv_shared_layers: z.number().int().min(0).max(limits.layers).nullish(),
  hidden_size_per_layer_input: z.literal(0).nullish(),
  use_double_wide_mlp: z.literal(false).nullish(),
  enable_moe_block: z.literal(false).nullish(),
});

/**
 * The small model that proposes tokens for Gemma 4 (`gemma4_assistant`, `gemma4_unified_assistant`, in transformers 5.24.0): layers of
 * Gemma 4 whose queries attend to the model's own last caches, so that they keep nothing. Undefined for other configs.
 *
 * Errors: FormatError where its layers would keep keys of their own, or have what the class refuses.
 */
export function assistantOf(config: Config): Head | undefined {
  const { model_type: type, text_config: inner } = config;
  if (type !== "gemma4_assistant" && type !== "gemma4_unified_assistant") return undefined;
  if (typeof inner !== "object" || inner === null) return undefined;
  const keys = readKeys(config, schema);
  const text = readKeys(inner as Config, textSchema);
  const shared = text.num_kv_shared_layers || text.num_hidden_layers;
  if (shared !== text.num_hidden_layers)
    throw new FormatError(
      `num_kv_shared_layers: got ${shared}, expected all ${text.num_hidden_layers} layers, since an assistant has no keys of its own; correct the config`,
    );
  const layers = {
    tie_word_embeddings: config.tie_word_embeddings ?? true,
    text_config: { ...inner, num_kv_shared_layers: 0 },
  };
  return { config: layers, finish: finishBy(keys) };
}

const finishBy =
  ({ backbone_hidden_size: wide, use_ordered_embeddings: ordered, num_centroids: centroids }: z.infer<typeof schema>) =>
  (blueprint: Blueprint): Blueprint => {
    const { width: d, layers, extra } = blueprint;
    return assume(
      {
        ...blueprint,
        architecture: "gemma4_assistant",
        layers: layers.map((kind) => ({
          ...kind,
          attention: { ...kind.attention, variant: borrowingOutside },
        })),
        // The model's embedding and hidden state come in side by side, and a hidden state goes back out.
        extra: extra + 3 * d * wide + (ordered ? d * centroids : 0),
      },
      "a model that proposes tokens: it attends to its model's caches, which are counted there; --draft puts it beside the model",
    );
  };
