import { z } from "zod";
import { readConfig } from "./config.ts";
import { decoderKeys, decoderSources, ignoresTensor } from "./decoder.ts";
import type { Family } from "./family.ts";
import type { Architecture } from "./gguf.ts";
import { groupedConfig, groupedGguf, groupedModel, groupedSources } from "./grouped.ts";
import { ropeKeys } from "./scaling.ts";

const schema = z.object({
  ...decoderKeys,
  ...ropeKeys,
  model_type: z.literal("llama"),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Llama in GGUF: rows of queries and keys are reordered so that rotary pairs are neighbours, and are taken as they lie. */
export const llamaGguf: Architecture = {
  name: "llama",
  tables: ["rope_freqs.weight"],
  config: (header) => groupedConfig(header, "llama"),
  adapt: (model) => ({
    ...model,
    layers: model.layers.map(({ attention, feed }) => ({
      attention: { ...attention, rotation: { ...attention.rotation, layout: "interleaved" as const } },
      feed,
    })),
  }),
  sources: groupedGguf,
};

/** Llama 2 and 3. */
export const llama: Family = {
  modelTypes: ["llama"],
  model: (raw) => groupedModel(readConfig(raw, schema)),
  sources: (model) => decoderSources(model, (i, prefix) => groupedSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};
