import { z } from "zod";
import { count, limits, readConfig } from "./config.ts";
import { decoderKeys, decoderSources, ignoresTensor } from "./decoder.ts";
import type { Family } from "./family.ts";
import type { Architecture } from "./gguf.ts";
import { groupedConfig, groupedGguf, groupedModel, groupedSources } from "./grouped.ts";
import { ropeKeys } from "./scaling.ts";

const schema = z.object({
  ...decoderKeys,
  ...ropeKeys,
  model_type: z.literal("qwen3"),
  // Unlike Llama's, not the width's share of a head.
  head_dim: count(limits.width).default(128),
  attention_bias: z.boolean().default(false),
  // A window's size is in the files of models that use none.
  use_sliding_window: z.literal(false).optional(),
  sliding_window: z.number().nullish(),
  layer_types: z.array(z.literal("full_attention")).nullish(),
});

/** Qwen3 in GGUF. */
export const qwenGguf: Architecture = {
  name: "qwen3",
  config: (header) => groupedConfig(header, "qwen3"),
  sources: groupedGguf,
};

/** Qwen3: Llama's layers with a norm on each head's query and key. */
export const qwen: Family = {
  modelTypes: ["qwen3"],
  model: (raw) => groupedModel(readConfig(raw, schema), ["qkNorm"]),
  sources: (model) => decoderSources(model, (i, prefix) => groupedSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};
