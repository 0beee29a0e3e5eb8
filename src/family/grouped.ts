import type { Feature, Sizes } from "../attention/define.ts";
import { gqa } from "../attention/variant/gqa.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, mustBe } from "./config.ts";
import type { DecoderConfig } from "./decoder.ts";
import { decoderConfig, type GgufHeader, ggufSources, readSettings, scalingOf } from "./gguf.ts";
import { type RopeConfig, scaledRotation } from "./scaling.ts";
import { linear, type Source, type Sources, vector } from "./source.ts";

/** What a config of a model of grouped heads says. */
type GroupedConfig = DecoderConfig & RopeConfig & { readonly attention_bias: boolean; readonly mlp_bias?: boolean };

/** A model of grouped-query attention over the whole head, half-split rotary pairs, and SwiGLU. Throws FormatError. */
export function groupedModel(config: GroupedConfig, features: readonly Feature[] = []): Model {
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
    d,
    h,
    g,
    n: 0,
    r: e,
    e,
    v: e,
    c: 0,
    q: 0,
    o: 0,
    ...(config.attention_bias ? { bias: "all" as const } : {}),
    ...(features.length && {
      eps: config.rms_norm_eps,
      with: Object.fromEntries(features.map((feature) => [feature, true as const])),
    }),
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
}

/** Where a layer of grouped heads has its parameters. */
export function groupedSources(
  { d, h, g, e, v, bias, with: has }: Sizes,
  prefix: string,
): Readonly<Record<string, Source>> {
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
    ...(has?.qkNorm && { gQH: vector(`${prefix}q_norm.weight`, e), gKH: vector(`${prefix}k_norm.weight`, e) }),
  };
}

/** The config that a GGUF header of such a model stands for. Throws FormatError. */
export function groupedConfig(header: GgufHeader, type: "llama" | "qwen3"): Config {
  const s = readSettings(header, {});
  const e = s["attention.key_length"] ?? s.embedding_length / s["attention.head_count"];
  mustBe("attention.value_length", s["attention.value_length"], e, "attention.key_length");
  mustBe("rope.dimension_count", s["rope.dimension_count"], e, "attention.key_length");
  const table = header.tables.get("rope_freqs.weight");
  // Llama 3's scaling lies in a table of what each pair's frequency is divided by.
  const divided = table && {
    rope_type: "longrope",
    factor: 1,
    short_factor: table,
    long_factor: table,
    original_max_position_embeddings: s.context_length,
  };
  return {
    model_type: type,
    ...decoderConfig(header, s, divided ?? scalingOf(s)),
    num_key_value_heads: s["attention.head_count_kv"] ?? s["attention.head_count"],
    head_dim: e,
    attention_bias: header.shapeOf("blk.0.attn_q.bias") !== undefined,
    ...(type === "llama" && { mlp_bias: header.shapeOf("blk.0.ffn_up.bias") !== undefined }),
  };
}

/** Where a GGUF file of such a model has its parameters. */
export function groupedGguf(model: Model, header: GgufHeader): Sources {
  return ggufSources(model, header, (i, prefix) => {
    const { d, h, g, e, v, bias, with: has } = model.layers[i]!.attention.sizes;
    return {
      wQ: linear(`${prefix}attn_q.weight`, h * e, d),
      wK: linear(`${prefix}attn_k.weight`, g * e, d),
      wV: linear(`${prefix}attn_v.weight`, g * v, d),
      wO: linear(`${prefix}attn_output.weight`, d, h * v),
      ...(bias && {
        bQ: vector(`${prefix}attn_q.bias`, h * e),
        bK: vector(`${prefix}attn_k.bias`, g * e),
        bV: vector(`${prefix}attn_v.bias`, g * v),
      }),
      ...(bias === "all" && { bO: vector(`${prefix}attn_output.bias`, d) }),
      ...(has?.qkNorm && {
        gQH: vector(`${prefix}attn_q_norm.weight`, e),
        gKH: vector(`${prefix}attn_k_norm.weight`, e),
      }),
    };
  });
}
