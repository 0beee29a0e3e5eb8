import { z } from "zod";
import type { Attention } from "../attention/layer.ts";
import { kda } from "../attention/variant/kda.ts";
import { rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, count, limits, mustBe } from "./config.ts";
import { decoderKeys, usualNames } from "./decoder.ts";
import { expertsOf } from "./experts.ts";
import { defineFamily } from "./family.ts";
import { defineArchitecture, perLayer, u32 } from "./gguf.ts";
import { deltaAttention, deltaTable, fullLayers, hybridEntries, hybridKeys, hybridWidths, taps } from "./hybrid.ts";
import { decoder, latentAttention, latentKeys, latentSettings, latentTable } from "./latent.ts";
import { numbers } from "./source.ts";

const layerList = z.array(count(limits.layers)).max(limits.layers);
const linearKeys = {
  kda_layers: layerList,
  full_attn_layers: layerList,
  num_heads: count(limits.heads),
  head_dim: count(limits.width),
  short_conv_kernel_size: taps,
};
const linearSchema = z.looseObject(linearKeys);

/** Kimi's names for what DeepSeek's configs say of experts. */
const called = {
  n_routed_experts: "num_experts",
  num_experts_per_tok: "num_experts_per_token",
  n_shared_experts: "num_shared_experts",
} as const;

/** Kimi Linear's GGUF files: which layers are KDA is in the heads of keys, and the decay's rate is held as -e^A_log. */
const kimiGguf = defineArchitecture({
  name: "kimi-linear",
  layout: "absorbed",
  settings: {
    ...latentSettings,
    // Moonshot's configs call it model_max_length.
    context_length: { hub: "max_position_embeddings", absent: null },
    leading_dense_block_count: { hub: "first_k_dense_replace", absent: 0 },
    expert_count: { hub: "num_experts", absent: null },
    expert_used_count: { hub: "num_experts_per_token", absent: null },
    expert_shared_count: { hub: "num_shared_experts", absent: 0 },
    expert_feed_forward_length: { hub: "moe_intermediate_size", absent: null },
    expert_weights_scale: { hub: "routed_scaling_factor", type: "f32", absent: 1 },
  },
  others: {
    ...hybridKeys,
    "attention.head_count_kv": perLayer,
    expert_gating_func: z.literal(2).optional(),
    expert_group_count: z.literal(1).optional(),
    expert_group_used_count: z.literal(1).optional(),
    expert_weights_norm: z.literal(true).optional(),
  },
  read(others, plain) {
    const full = fullLayers(others["attention.head_count_kv"], Number(plain.num_hidden_layers));
    const numbered = (kind: boolean) => full.flatMap((one, i) => (one === kind ? [i + 1] : []));
    return {
      model_type: "kimi_linear",
      ...hybridWidths(others, plain),
      mla_use_nope: true,
      linear_attn_config: {
        kda_layers: numbered(false),
        full_attn_layers: numbered(true),
        num_heads: plain.num_attention_heads,
        head_dim: others["kda.head_dim"],
        short_conv_kernel_size: others["ssm.conv_kernel"],
      },
      // No position turns anything.
      rope_scaling: null,
    };
  },
  write(config, model) {
    const { head_dim: n, short_conv_kernel_size: w } = linearSchema.parse(config.linear_attn_config);
    const context = config.max_position_embeddings ?? config.model_max_length;
    if (typeof context !== "number")
      throw new FormatError(
        "model_max_length: got nothing, expected a value for a GGUF file's context_length; add it to the config",
      );
    const sparse = model.layers.some(({ feed }) => feed.kind === "experts");
    return {
      context_length: u32(context),
      ...hybridEntries(config, model, { n, w }),
      expert_gating_func: sparse ? u32(2) : undefined,
    };
  },
});

/**
 * Kimi Linear: KDA layers, and MLA layers in which no position turns. Experts as DeepSeek-V3's, in one group.
 * Source: moonshotai/Kimi-Linear-48B-A3B-Instruct, modeling_kimi.py.
 */
export const kimi = defineFamily({
  modelTypes: ["kimi_linear"],
  keys: {
    ...decoderKeys,
    ...latentKeys,
    attention_bias: z.literal(false).default(false),
    linear_attn_config: linearSchema,
    mla_use_nope: z.literal(true),
    rope_scaling: z.null().optional(),
    rope_parameters: z
      .strictObject({ rope_type: z.literal("default").optional(), rope_theta: z.number().optional() })
      .nullish(),
    model_max_length: count(1e12).nullish(),
    num_experts: count(limits.experts).nullish(),
    num_experts_per_token: count(limits.experts).nullish(),
    num_shared_experts: z.number().int().min(0).max(limits.experts).nullish(),
    moe_intermediate_size: count(limits.width * 8).nullish(),
    routed_scaling_factor: z.number().min(-1e6).max(1e6).default(1),
    first_k_dense_replace: z.number().int().min(0).max(limits.layers).default(0),
    moe_layer_freq: count(limits.layers).default(1),
    moe_renormalize: z.boolean().default(true),
    moe_router_activation_func: z.literal("sigmoid").optional(),
    // With one group, how groups are chosen cannot matter; with more, the authors' code and engines differ.
    num_expert_group: z.literal(1).optional(),
    topk_group: z.literal(1).optional(),
    use_grouped_topk: z.boolean().optional(),
    topk_method: z.literal("noaux_tc").optional(),
  },
  model(config) {
    const { num_hidden_layers: layers, linear_attn_config: linear, hidden_size: d, rms_norm_eps: eps } = config;
    mustBe("num_key_value_heads", config.num_key_value_heads, config.num_attention_heads, "num_attention_heads");
    const isLinear = layerKinds(linear, layers);
    const { num_heads: h, head_dim: n, short_conv_kernel_size: w } = linear;
    const delta = deltaAttention({ d, h, n, c: n, w, eps });
    // head_dim is of no layer. Rotary dims are there, and nothing turns them.
    const latent: Attention = {
      ...latentAttention({ ...config, rope_scaling: null, rope_parameters: null }),
      rotation: rotation(0),
    };
    const { first_k_dense_replace: first, moe_layer_freq: every } = config;
    const experts =
      first < layers
        ? expertsOf(
            {
              ...config,
              n_routed_experts: config.num_experts,
              num_experts_per_tok: config.num_experts_per_token,
              n_shared_experts: config.num_shared_experts,
            },
            {
              scores: "sigmoid",
              normalised: config.moe_renormalize && config.num_experts_per_token !== 1,
              grouped: "whole",
              layers,
              called,
            },
          )
        : undefined;
    return decoder(
      config,
      (i) => (isLinear(i) ? delta : latent),
      (i) => (i >= first && i % every === 0 ? experts : undefined),
    );
  },
  attention: ({ variant, sizes }) =>
    variant === kda
      ? deltaTable(sizes, {
          hub: numbers("A_log", [1, 1, sizes.h, 1]),
          gguf: numbers("ssm_a", [1, 1, sizes.h, 1], "-exp"),
        })
      : latentTable(sizes),
  names: { ...usualNames, sparse: "block_sparse_moe", expert: ["w1", "w3", "w2"] },
  gguf: kimiGguf,
});

/** Which layers are KDA; lists count layers from 1. Throws FormatError for a key not known, or a layer in both lists or none. */
function layerKinds(linear: z.infer<typeof linearSchema>, layers: number): (layer: number) => boolean {
  const unknown = Object.keys(linear as Config).find((key) => !Object.hasOwn(linearKeys, key) && linear[key] !== null);
  if (unknown !== undefined)
    throw new FormatError(
      `linear_attn_config.${unknown.slice(0, 80)}: got a key that is not known for model_type "kimi_linear", ` +
        "expected it absent or null; it could change the numbers, so it is not ignored",
    );
  const [some, others] = [new Set(linear.kda_layers), new Set(linear.full_attn_layers)];
  for (let i = 1; i <= layers; i++)
    if (some.has(i) === others.has(i))
      throw new FormatError(
        `linear_attn_config: got layer ${i} in ${some.has(i) ? "both" : "none"} of kda_layers and full_attn_layers, expected it in one; correct the config`,
      );
  return (layer) => some.has(layer + 1);
}
