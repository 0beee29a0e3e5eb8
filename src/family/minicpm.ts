import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { latentGguf, latentSettings } from "./absorbed.ts";
import { count, limits, readConfig } from "./config.ts";
import { decoderKeys, decoderSources, ignoresTensor } from "./decoder.ts";
import type { Family } from "./family.ts";
import { type Architecture, decoderConfig, ggufSources, readSettings } from "./gguf.ts";
import { checkImplied, decoder, impliedKeys, latentAttention, latentKeys, latentSources } from "./latent.ts";

const factor = z.number().positive().max(1e6);
const schema = z.object({
  ...decoderKeys,
  ...latentKeys,
  ...impliedKeys,
  model_type: z.literal("minicpm3"),
  rms_norm_eps: z.number().min(0).max(1).default(1e-5),
  tie_word_embeddings: z.boolean().default(true),
  v_head_dim: count(limits.width).nullish(),
  scale_emb: factor.default(12),
  scale_depth: factor.nullable().default(1.4),
  dim_model_base: factor.nullable().default(256),
});

/** MiniCPM3 in GGUF, whose readers know its factors by heart: they are those of the released model. */
export const minicpmGguf: Architecture = {
  name: "minicpm3",
  tables: ["rope_factors_long.weight", "rope_factors_short.weight"],
  config(header) {
    const s = readSettings(header, latentSettings);
    const r = s["rope.dimension_count"];
    const e = s["attention.key_length"];
    if (!r || !e)
      throw new FormatError(
        `${r ? "attention.key_length" : "rope.dimension_count"}: got nothing, expected a number; use another file`,
      );
    const [long, short] = ["long", "short"].map((name) => header.tables.get(`rope_factors_${name}.weight`));
    const rope = long && short && { rope_type: "longrope", factor: 1, long_factor: long, short_factor: short };
    return {
      model_type: "minicpm3",
      ...decoderConfig(header, s, rope),
      q_lora_rank: s["attention.q_lora_rank"] || null,
      kv_lora_rank: s["attention.kv_lora_rank"],
      qk_nope_head_dim: e - r,
      qk_rope_head_dim: r,
      v_head_dim: s["attention.value_length"] ?? null,
    };
  },
  sources: (model, header) =>
    ggufSources(model, header, (i, prefix) => latentGguf(model.layers[i]!.attention.sizes, prefix, header)),
};

/** MiniCPM3: MLA in halves under LongRoPE, with factors on embeddings, branches and what goes into the head. */
export const minicpm: Family = {
  modelTypes: ["minicpm3"],
  model(raw) {
    const config = readConfig(raw, schema);
    checkImplied(config);
    const { hidden_size: d, num_attention_heads: h, num_hidden_layers: layers } = config;
    const v = config.v_head_dim ?? d / h;
    if (!Number.isInteger(v))
      throw new FormatError(
        `v_head_dim: got nothing and hidden_size ${d} / ${h} heads, expected a whole number; add it to the config`,
      );
    const attention = latentAttention({ ...config, v_head_dim: v }, "half");
    return {
      ...decoder(config, attention, () => undefined),
      // Null says: no factor.
      scales: {
        embedding: config.scale_emb,
        branch: config.scale_depth === null ? 1 : config.scale_depth / Math.sqrt(layers),
        head: config.dim_model_base === null ? 1 : config.dim_model_base / d,
      },
    };
  },
  sources: (model) => decoderSources(model, (i, prefix) => latentSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};
