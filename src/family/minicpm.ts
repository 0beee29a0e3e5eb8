import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { count, limits } from "./config.ts";
import { decoderKeys, tie } from "./decoder.ts";
import { defineFamily } from "./family.ts";
import {
  checkImplied,
  decoder,
  impliedKeys,
  latentArchitecture,
  latentAttention,
  latentKeys,
  latentTable,
} from "./latent.ts";
import { longDivisors, shortDivisors } from "./position.ts";

const factor = z.number().positive().max(1e6);

/** MiniCPM3: MLA in halves under LongRoPE, with factors on embeddings, branches and what goes into the head. */
export const minicpm = defineFamily({
  modelTypes: ["minicpm3"],
  keys: {
    ...decoderKeys,
    ...latentKeys,
    ...impliedKeys,
    rms_norm_eps: z.number().min(0).max(1).default(1e-5),
    tie_word_embeddings: tie(true),
    v_head_dim: count(limits.width).nullish(),
    scale_emb: factor.default(12),
    scale_depth: factor.nullable().default(1.4),
    dim_model_base: factor.nullable().default(256),
  },
  model(config) {
    checkImplied(config);
    const { hidden_size: d, num_attention_heads: h, num_hidden_layers: layers } = config;
    const v = config.v_head_dim ?? d / h;
    if (!Number.isInteger(v))
      throw new FormatError(
        `v_head_dim: got nothing and hidden_size ${d} / ${h} heads, expected a whole number; add it to the config`,
      );
    const attention = latentAttention({ ...config, v_head_dim: v }, "half");
    return {
      ...decoder(
        config,
        () => attention,
        () => undefined,
      ),
      // Null says: no factor.
      scales: {
        embedding: config.scale_emb,
        branch: config.scale_depth === null ? 1 : config.scale_depth / Math.sqrt(layers),
        head: config.dim_model_base === null ? 1 : config.dim_model_base / d,
      },
    };
  },
  attention: ({ sizes }) => latentTable(sizes),
  // The readers of GGUF files know the factors of the released model by heart: files have no keys for them.
  gguf: latentArchitecture({
    name: "minicpm3",
    tables: [longDivisors, shortDivisors],
    layout: "joint",
    settings: {},
    others: {},
    read: () => ({ model_type: "minicpm3" }),
    write: () => ({}),
  }),
});
