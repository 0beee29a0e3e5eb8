import { z } from "zod";
import { decoderKeys, tie } from "./decoder.ts";
import { deepseekGguf } from "./deepseek.ts";
import { defineFamily } from "./family.ts";
import { checkImplied, decoder, impliedKeys, latentAttention, latentKeys, latentTable } from "./latent.ts";

/** Youtu-LLM: DeepSeek-V3's attention in dense layers. */
export const youtu = defineFamily({
  modelTypes: ["youtu", "youtu_llm"],
  keys: {
    ...decoderKeys,
    ...latentKeys,
    ...impliedKeys,
    tie_word_embeddings: tie(true),
    rope_interleave: z.boolean().default(true),
  },
  model(config) {
    checkImplied(config);
    const layout = config.rope_interleave ? "interleaved" : "half";
    const attention = latentAttention(config, layout);
    return decoder(
      config,
      () => attention,
      () => undefined,
    );
  },
  attention: ({ sizes }) => latentTable(sizes),
  gguf: deepseekGguf,
});
