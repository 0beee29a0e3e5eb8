import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import { gqa } from "../attention/gqa.ts";
import { FormatError } from "../tensor/error.ts";
import { count, decoderSources, type Family, ignoresTensor, limits, linear, readConfig, vector } from "./family.ts";
import { ropeKeys, scaledRotation } from "./scaling.ts";

const schema = z.object({
  model_type: z.literal("llama"),
  vocab_size: count(limits.vocabulary),
  hidden_size: count(limits.width),
  intermediate_size: count(limits.width * 8),
  num_hidden_layers: count(limits.layers),
  num_attention_heads: count(limits.heads),
  num_key_value_heads: count(limits.heads).nullish(),
  head_dim: count(limits.width).nullish(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().min(0).max(1).default(1e-6),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  ...ropeKeys,
});

/** Llama 2 and 3: grouped-query attention over the whole head, half-split rotary pairs, SwiGLU. */
export const llama: Family = {
  modelTypes: ["llama"],
  model(raw) {
    const config = readConfig(raw, schema);
    const { hidden_size: d, num_attention_heads: h } = config;
    const g = config.num_key_value_heads ?? h;
    const e = config.head_dim ?? d / h;
    if (!Number.isInteger(e) || e % 2)
      throw new FormatError(
        `head_dim: got ${e} (hidden_size ${d} / ${h} heads), expected an even number; rotary dims come in pairs`,
      );
    if (h % g)
      throw new FormatError(
        `num_key_value_heads: got ${g}, expected a divisor of the ${h} attention heads; correct the config`,
      );
    const sizes: Sizes = {
      ...{ d, h, g, n: 0, r: e, e, v: e, c: 0, q: 0, o: 0 },
      ...(config.attention_bias ? { bias: "all" as const } : {}),
    };
    const { rotation } = scaledRotation(config, e, "half");
    return {
      vocabulary: config.vocab_size,
      width: d,
      layers: Array.from({ length: config.num_hidden_layers }, () => ({
        attention: { variant: gqa, sizes, rotation },
        feed: { kind: "dense" as const, f: config.intermediate_size, ...(config.mlp_bias ? { bias: true } : {}) },
      })),
      tied: config.tie_word_embeddings,
      eps: config.rms_norm_eps,
    };
  },
  sources: (model) =>
    decoderSources(model, (i, prefix) => {
      const { d, h, g, e, v, bias } = model.layers[i]!.attention.sizes;
      return {
        wQ: linear(`${prefix}q_proj.weight`, h * e, d),
        wK: linear(`${prefix}k_proj.weight`, g * e, d),
        wV: linear(`${prefix}v_proj.weight`, g * v, d),
        wO: linear(`${prefix}o_proj.weight`, d, h * v),
        ...(bias && {
          bQ: vector(`${prefix}q_proj.bias`, h * e),
          bK: vector(`${prefix}k_proj.bias`, g * e),
          bV: vector(`${prefix}v_proj.bias`, g * v),
        }),
        ...(bias === "all" && { bO: vector(`${prefix}o_proj.bias`, d) }),
      };
    }),
  ignores: ignoresTensor,
};
