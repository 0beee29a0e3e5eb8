import { z } from "zod";
import { readConfig } from "./config.ts";
import { decoderKeys, decoderSources, ignoresTensor } from "./decoder.ts";
import type { Family } from "./family.ts";
import { checkImplied, decoder, impliedKeys, latentAttention, latentKeys, latentSources } from "./latent.ts";

const schema = z.object({
  ...decoderKeys,
  ...latentKeys,
  ...impliedKeys,
  model_type: z.enum(["youtu", "youtu_llm"]),
  tie_word_embeddings: z.boolean().default(true),
  rope_interleave: z.boolean().default(true),
});

/** Youtu-LLM: DeepSeek-V3's attention in dense layers. */
export const youtu: Family = {
  modelTypes: ["youtu", "youtu_llm"],
  model(raw) {
    const config = readConfig(raw, schema);
    checkImplied(config);
    const layout = config.rope_interleave ? "interleaved" : "half";
    return decoder(config, latentAttention(config, layout), () => undefined);
  },
  sources: (model) => decoderSources(model, (i, prefix) => latentSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};
