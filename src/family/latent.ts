import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { mla } from "../attention/variant/mla.ts";
import type { FeedForward, Model } from "../model/model.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { count, limits, mustBe } from "./config.ts";
import type { DecoderConfig } from "./decoder.ts";
import { type RopeConfig, ropeKeys, scaledRotation } from "./scaling.ts";
import { linear, perHead, type Source, vector } from "./source.ts";

/** The keys that describe one MLA layer under the names of DeepSeek's configs. */
export const latentKeys = {
  hidden_size: count(limits.width),
  num_attention_heads: count(limits.heads),
  q_lora_rank: count(limits.width).nullish(),
  kv_lora_rank: count(limits.width),
  qk_nope_head_dim: count(limits.width),
  qk_rope_head_dim: count(limits.width),
  v_head_dim: count(limits.width),
  attention_bias: z.boolean().default(false),
  ...ropeKeys,
};
const latentSchema = z.object(latentKeys);

/** One MLA layer by the keys of `latentKeys`; YaRN's softmax factor is in its scale. Throws FormatError. */
export function latentAttention(
  config: z.infer<typeof latentSchema> & RopeConfig,
  layout: Rotation["layout"] = "interleaved",
): Attention {
  const [n, r] = [config.qk_nope_head_dim, config.qk_rope_head_dim];
  if (r % 2) throw new FormatError(`qk_rope_head_dim: got ${r}, expected an even number; rotary dims come in pairs`);
  const sizes: Sizes = {
    d: config.hidden_size,
    h: config.num_attention_heads,
    g: 0,
    n,
    r,
    e: n + r,
    v: config.v_head_dim,
    c: config.kv_lora_rank,
    q: config.q_lora_rank ?? 0,
    o: 0,
    ...(config.attention_bias ? { bias: "all" as const } : {}),
  };
  const { rotation, softmax } = scaledRotation(config, r, layout);
  return { variant: mla, sizes, rotation, scale: mla.scale(sizes) * softmax };
}

/** Sizes that follow from others and that MLA's configs say once more. */
export const impliedKeys = {
  qk_head_dim: count(limits.width).nullish(),
  mlp_bias: z.literal(false).optional(),
};

/** Throws FormatError where a size of a config that follows from others is another. */
export function checkImplied(config: {
  readonly num_attention_heads: number;
  readonly qk_nope_head_dim: number;
  readonly qk_rope_head_dim: number;
  readonly num_key_value_heads?: number | null | undefined;
  readonly head_dim?: number | null | undefined;
  readonly qk_head_dim?: number | null | undefined;
}): void {
  const { num_attention_heads: h, qk_rope_head_dim: r, qk_nope_head_dim: n } = config;
  mustBe("num_key_value_heads", config.num_key_value_heads, h, "num_attention_heads");
  mustBe("head_dim", config.head_dim, r, "qk_rope_head_dim");
  mustBe("qk_head_dim", config.qk_head_dim, n + r, "qk_nope_head_dim + qk_rope_head_dim");
}

/**
 * Where an MLA layer's parameters lie: rows of `kv_a_proj_with_mqa` are [latent | rotary key]; those of `kv_b_proj`, per head,
 * [key | value]; those of the query projection, per head, [without position | rotary].
 */
export function latentSources(
  { d, h, n, r, e, v, c, q, bias }: Sizes,
  prefix: string,
): Readonly<Record<string, Source>> {
  const query = q ? `${prefix}q_b_proj.weight` : `${prefix}q_proj.weight`;
  const [latent, key] = [perHead(1, c + r, 0, c), perHead(1, c + r, c, c + r)];
  const down = `${prefix}kv_a_proj_with_mqa`;
  const up = `${prefix}kv_b_proj.weight`;
  return {
    ...(q && {
      wDQ: linear(`${prefix}q_a_proj.weight`, q, d),
      gQ: vector(`${prefix}q_a_layernorm.weight`, q),
      ...(bias && { bDQ: vector(`${prefix}q_a_proj.bias`, q) }),
    }),
    wUQ: linear(query, h * e, q || d, perHead(h, e, 0, n)),
    wQR: linear(query, h * e, q || d, perHead(h, e, n, e)),
    wDKV: linear(`${down}.weight`, c + r, d, latent),
    wKR: linear(`${down}.weight`, c + r, d, key),
    ...(bias && { bDKV: vector(`${down}.bias`, c + r, latent), bKR: vector(`${down}.bias`, c + r, key) }),
    gKV: vector(`${prefix}kv_a_layernorm.weight`, c),
    wUK: linear(up, h * (n + v), c, perHead(h, n + v, 0, n)),
    wUV: linear(up, h * (n + v), c, perHead(h, n + v, n, n + v)),
    wO: linear(`${prefix}o_proj.weight`, d, h * v),
    ...(bias === "all" && { bO: vector(`${prefix}o_proj.bias`, d) }),
  };
}

/** A model of MLA layers all alike, each with the experts of its number or else a dense MLP. */
export function decoder(
  config: DecoderConfig,
  attention: Attention,
  experts: (layer: number) => FeedForward | undefined,
): Model {
  return {
    vocabulary: config.vocab_size,
    width: config.hidden_size,
    layers: Array.from({ length: config.num_hidden_layers }, (_, i) => ({
      attention,
      feed: experts(i) ?? { kind: "dense", f: config.intermediate_size },
    })),
    tied: config.tie_word_embeddings,
    eps: config.rms_norm_eps,
  };
}
