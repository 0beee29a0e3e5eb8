import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { mla } from "../attention/mla.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import {
  count,
  decoderSources,
  type Family,
  ignoresTensor,
  limits,
  linear,
  perHead,
  readConfig,
  type Source,
  vector,
} from "./family.ts";
import type { FeedForward } from "./model.ts";
import { type RopeConfig, ropeKeys, scaledRotation } from "./scaling.ts";

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

const schema = z.object({
  model_type: z.literal("deepseek_v2"),
  vocab_size: count(limits.vocabulary),
  intermediate_size: count(limits.width * 8),
  num_hidden_layers: count(limits.layers),
  num_key_value_heads: count(limits.heads).nullish(),
  head_dim: count(limits.width).nullish(),
  qk_head_dim: count(limits.width).nullish(),
  rope_interleave: z.literal(true).optional(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().min(0).max(1).default(1e-6),
  mlp_bias: z.literal(false).optional(),
  tie_word_embeddings: z.boolean().default(false),
  n_routed_experts: count(limits.experts).nullish(),
  n_shared_experts: z.number().int().min(0).max(limits.experts).nullish(),
  moe_intermediate_size: count(limits.width * 8).nullish(),
  num_experts_per_tok: count(limits.experts).nullish(),
  first_k_dense_replace: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .default(0),
  moe_layer_freq: count(2 ** 31).default(1),
  topk_method: z.enum(["greedy", "group_limited_greedy"]).default("greedy"),
  n_group: count(limits.experts).nullish(),
  topk_group: count(limits.experts).nullish(),
  routed_scaling_factor: z.number().min(-1e6).max(1e6).default(1),
  scoring_func: z.literal("softmax").default("softmax"),
  // Read and left aside, as transformers does: V2's weights are never renormalised.
  norm_topk_prob: z.boolean().optional(),
  ...latentKeys,
});
type DeepSeek = z.infer<typeof schema>;

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
    ...{ g: 0, n, r, e: n + r, v: config.v_head_dim, c: config.kv_lora_rank, q: config.q_lora_rank ?? 0, o: 0 },
    ...(config.attention_bias ? { bias: "all" as const } : {}),
  };
  const { rotation, softmax } = scaledRotation(config, r, layout);
  return { variant: mla, sizes, rotation, scale: mla.scale(sizes) * softmax };
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

/** DeepSeek-V2 and V2-Lite: MLA with interleaved rotary pairs, and after the first dense layers a mixture of experts. */
export const deepseek: Family = {
  modelTypes: ["deepseek_v2"],
  model(raw) {
    const config = readConfig(raw, schema);
    const { num_attention_heads: h, qk_rope_head_dim: r, qk_nope_head_dim: n } = config;
    mustBe("num_key_value_heads", config.num_key_value_heads, h, "num_attention_heads");
    mustBe("head_dim", config.head_dim, r, "qk_rope_head_dim");
    mustBe("qk_head_dim", config.qk_head_dim, n + r, "qk_nope_head_dim + qk_rope_head_dim");
    const attention = latentAttention(config);
    const dense: FeedForward = { kind: "dense", f: config.intermediate_size };
    const experts = expertsOf(config);
    return {
      vocabulary: config.vocab_size,
      width: config.hidden_size,
      layers: Array.from({ length: config.num_hidden_layers }, (_, i) => ({
        attention,
        feed: experts && i >= config.first_k_dense_replace && i % config.moe_layer_freq === 0 ? experts : dense,
      })),
      tied: config.tie_word_embeddings,
      eps: config.rms_norm_eps,
    };
  },
  sources: (model) => decoderSources(model, (i, prefix) => latentSources(model.layers[i]!.attention.sizes, prefix)),
  ignores: ignoresTensor,
};

/** The mixture of experts, or undefined for a model whose layers are all dense. */
function expertsOf(config: DeepSeek): FeedForward | undefined {
  const { n_routed_experts: x, first_k_dense_replace: first, num_hidden_layers: layers } = config;
  if (!x || first >= layers) return undefined;
  const need = (key: "num_experts_per_tok" | "moe_intermediate_size" | "n_group" | "topk_group"): number => {
    const value = config[key];
    if (!value)
      throw new FormatError(
        `${key}: got nothing, expected a number beside n_routed_experts ${x}; add it to the config`,
      );
    return value;
  };
  // A bound on names to be made up, before any is looked for in the file.
  if (x * layers > 200_000)
    throw new FormatError(
      `n_routed_experts: got ${x} in ${layers} layers, expected at most 200000 experts in all; correct the config`,
    );
  const [perToken, f] = [need("num_experts_per_tok"), need("moe_intermediate_size")];
  const [groups, perGroup] = config.topk_method === "greedy" ? [1, 1] : [need("n_group"), need("topk_group")];
  if (x % groups)
    throw new FormatError(`n_group: got ${groups}, expected a divisor of the ${x} experts; correct the config`);
  if (perGroup > groups)
    throw new FormatError(`topk_group: got ${perGroup}, expected at most n_group ${groups}; correct the config`);
  if (perToken > (x / groups) * perGroup)
    throw new FormatError(
      `num_experts_per_tok: got ${perToken}, expected at most ${(x / groups) * perGroup}; correct the config`,
    );
  const routing = { perToken, groups, perGroup, factor: config.routed_scaling_factor };
  return { kind: "experts", f, x, shared: f * (config.n_shared_experts ?? 0), routing };
}

function mustBe(key: string, value: number | null | undefined, wanted: number, whose: string): void {
  if (value !== undefined && value !== null && value !== wanted)
    throw new FormatError(`${key}: got ${value}, expected ${wanted} (${whose}); other values are not supported`);
}
