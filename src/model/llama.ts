import { z } from "zod";
import { decoderKeys, decoderSources, type Family, ignoresTensor, readConfig } from "./family.ts";
import { groupedModel, groupedSources } from "./grouped.ts";
import { ropeKeys } from "./scaling.ts";

const schema = z.object({
  ...decoderKeys,
  ...ropeKeys,
  model_type: z.literal("llama"),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Llama 2 and 3. */
export const llama: Family = {
  modelTypes: ["llama"],
  model: (raw) => groupedModel(readConfig(raw, schema)),
  sources: (model) => decoderSources(model, (i, prefix) => groupedSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};
