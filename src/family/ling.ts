import { z } from "zod";
import type { Attention } from "../attention/layer.ts";
import { kda } from "../attention/variant/kda.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { type Config, count, limits, mustBe } from "./config.ts";
import { decoderKeys, usualNames } from "./decoder.ts";
import { expertKeys, expertsOf } from "./experts.ts";
import { defineFamily } from "./family.ts";
import { defineArchitecture, f32, flag, perLayer, u32 } from "./gguf.ts";
import { deltaAttention, deltaTable, fullLayers, hybridEntries, hybridKeys, hybridWidths, taps } from "./hybrid.ts";
import { decoder, latentAttention, latentKeys, latentSettings, latentTable } from "./latent.ts";
import { numbers } from "./source.ts";
import { place } from "./table.ts";

/** Ling's names for what DeepSeek's configs say of experts. */
const called = { n_routed_experts: "num_experts", n_shared_experts: "num_shared_experts" } as const;

/** The architecture of Ling 3; Ling 2.5 and 2.6, whose linear layers are of another kind, share its model_type. */
export const third = "BailingMoeV3ForCausalLM";

/** Whether layer i of so many is MLA: the last of each group, and all that fill no group. */
export const isFull = (i: number, layers: number, group: number) =>
  (i + 1) % group === 0 || i >= Math.floor(layers / group) * group;

/** The layers of a group, by which layers are MLA. Throws FormatError where that is no such pattern. */
export function groupOf(full: readonly boolean[]): number {
  const group = full.indexOf(true) + 1 || 1;
  const odd = full.findIndex((one, i) => one !== isFull(i, full.length, group));
  if (odd < 0) return group;
  throw new FormatError(
    `attention.head_count_kv: got ${full[odd] ? "heads" : "none"} in layer ${odd}, expected them in the last layer of each group of ${group}; ` +
      "other patterns are not supported",
  );
}

/** Ling 3's GGUF files: the decay's rate is held as e^A_log, its bound as a key. */
const lingGguf = defineArchitecture({
  name: "bailingmoe3",
  layout: "absorbed",
  settings: {
    ...latentSettings,
    leading_dense_block_count: { hub: "first_k_dense_replace", absent: 0 },
    expert_count: { hub: "num_experts", absent: null },
    expert_used_count: { hub: "num_experts_per_tok", absent: null },
    expert_shared_count: { hub: "num_shared_experts", absent: 0 },
    expert_feed_forward_length: { hub: "moe_intermediate_size", absent: null },
    expert_shared_feed_forward_length: { hub: "moe_shared_expert_intermediate_size", absent: null },
    expert_weights_scale: { hub: "routed_scaling_factor", type: "f32", absent: 1 },
    expert_group_count: { hub: "n_group", absent: 1 },
    expert_group_used_count: { hub: "topk_group", absent: 1 },
  },
  others: {
    ...hybridKeys,
    "attention.head_count_kv": perLayer,
    "kda.safe_gate": z.literal(true).optional(),
    "kda.gate_lower_bound": z.number(),
    expert_gating_func: z.literal(2).optional(),
    expert_weights_norm: z.literal(true).optional(),
  },
  read(others, plain, { shapeOf }) {
    const layers = Number(plain.num_hidden_layers);
    const full = fullLayers(others["attention.head_count_kv"], layers);
    const gates = shapeOf(`blk.${full.indexOf(true)}.attn_gate.weight`)?.[0];
    const [h, v] = [Number(plain.num_attention_heads), others["attention.value_length_mla"]];
    return {
      model_type: "bailing_hybrid",
      architectures: [third],
      ...hybridWidths(others, plain),
      layer_group_size: groupOf(full),
      head_dim: others["kda.head_dim"],
      short_conv_kernel_size: others["ssm.conv_kernel"],
      no_kda_lora: true,
      kda_safe_gate: true,
      kda_lower_bound: others["kda.gate_lower_bound"],
      gated_attention_proj_granularity_type:
        gates === undefined && full.includes(true) ? null : gates === h * v && v !== 1 ? "element_wise" : "head_wise",
    };
  },
  write(config, model) {
    const sparse = model.layers.some(({ feed }) => feed.kind === "experts");
    return {
      ...hybridEntries(config, model, { n: Number(config.head_dim), w: Number(config.short_conv_kernel_size) }),
      "kda.safe_gate": flag(true),
      "kda.gate_lower_bound": f32(Number(config.kda_lower_bound ?? -5)),
      expert_gating_func: sparse ? u32(2) : undefined,
      expert_weights_norm: sparse ? flag(true) : undefined,
    };
  },
});

const { n_routed_experts: _, n_shared_experts: __, ...routingKeys } = expertKeys;
const noLimits = z.array(z.literal(0).nullable()).max(limits.layers).nullish();
const shared = z.looseObject({ partial_rotary_factor: z.number().optional() }).nullish();

/**
 * Ling 3.0: KDA layers whose decay is bounded and whose gates are one matrix each, and MLA layers with rotary dims and a gate on
 * the output. Source: inclusionAI/Ling-3.0-tiny, modeling_bailing_moe_v3.py; vLLM pull request 51045.
 */
export const ling = defineFamily({
  modelTypes: ["bailing_hybrid"],
  keys: {
    ...decoderKeys,
    ...latentKeys,
    architectures: z.array(z.string()).max(8).nullish(),
    attention_bias: z.literal(false).default(false),
    use_qkv_bias: z.literal(false).optional(),
    use_bias: z.literal(false).optional(),
    qk_head_dim: count(limits.width).nullish(),
    rotary_dim: count(limits.width).nullish(),
    rope_interleave: z.literal(true).optional(),
    use_mla_nope: z.literal(false).optional(),
    // The rotary dims are qk_rope_head_dim, all of which turn: the authors' code sets this to 1 whatever it says.
    partial_rotary_factor: z.number().optional(),
    rope_scaling: shared,
    rope_parameters: shared,
    gated_attention_proj_granularity_type: z.enum(["head_wise", "element_wise"]).nullable().default("head_wise"),
    layer_group_size: count(limits.layers + 1),
    head_dim: count(limits.width),
    short_conv_kernel_size: taps,
    linear_attention: z.literal("kda").optional(),
    no_kda_lora: z.boolean().optional(),
    use_kda_lora: z.boolean().optional(),
    kda_safe_gate: z.literal(true).optional(),
    kda_lower_bound: z.number().min(-5).lt(0).optional(),
    ...routingKeys,
    num_experts: count(limits.experts).nullish(),
    num_shared_experts: z.number().int().min(0).max(limits.experts).nullish(),
    moe_shared_expert_intermediate_size: count(limits.width * 8).nullish(),
    first_k_dense_replace: z.number().int().min(0).max(limits.layers).default(0),
    moe_router_enable_expert_bias: z.literal(true).optional(),
    norm_topk_prob: z.literal(true).optional(),
    score_function: z.literal("sigmoid").optional(),
    scoring_func: z.literal("sigmoid").optional(),
    topk_method: z.literal("noaux_tc").optional(),
    expert_swiglu_limit_list: noLimits,
    share_expert_swiglu_limit_list: noLimits,
    scale_router_input: z.literal(false).optional(),
    up_proj_norm: z.literal(false).optional(),
    value_norm: z.literal(false).optional(),
    use_nGPT: z.literal(false).optional(),
    num_kv_heads_for_linear_attn: z.literal(0).optional(),
    // How the router was computed; and what the authors' code reads for Ling 2.5 alone, as the released configs have it.
    router_dtype: z.string().optional(),
    group_norm_size: z.literal(1).optional(),
    linear_silu: z.literal(true).optional(),
    use_qk_norm: z.boolean().optional(),
    mtp_loss_scaling_factor: z.number().optional(),
    mtp_use_kda: z.boolean().optional(),
  },
  model(config) {
    checkThird(config);
    const { num_hidden_layers: layers, num_attention_heads: h, hidden_size: d, rms_norm_eps: eps } = config;
    const { qk_rope_head_dim: r, no_kda_lora: whole = true, head_dim: n, kda_lower_bound: floor = -5 } = config;
    mustBe("num_key_value_heads", config.num_key_value_heads, h, "num_attention_heads");
    mustBe("qk_head_dim", config.qk_head_dim, config.qk_nope_head_dim + r, "qk_nope_head_dim + qk_rope_head_dim");
    mustBe("rotary_dim", config.rotary_dim, r, "qk_rope_head_dim");
    if (config.use_kda_lora === whole)
      throw new FormatError(
        `use_kda_lora: got ${whole} beside no_kda_lora ${whole}, expected the opposite; correct the config`,
      );
    const delta = deltaAttention({ d, h, n, c: whole ? 0 : n, w: config.short_conv_kernel_size, eps, floor });
    const plain = latentAttention({ ...config, ...positions(config) });
    const gate = { head_wise: "headGate", element_wise: "outputGate" } as const;
    const kind = config.gated_attention_proj_granularity_type;
    const latent: Attention = kind ? { ...plain, sizes: { ...plain.sizes, with: { [gate[kind]]: true } } } : plain;
    const { first_k_dense_replace: first, layer_group_size: group } = config;
    const experts = first < layers ? mixture(config, layers) : undefined;
    return decoder(
      config,
      (i) => (isFull(i, layers, group) ? latent : delta),
      (i) => (i >= first ? experts : undefined),
    );
  },
  attention: ({ variant, sizes }) => {
    if (variant === kda)
      return deltaTable(sizes, { hub: numbers("A_log", [sizes.h]), gguf: numbers("ssm_a", [sizes.h, 1], "exp") });
    const { d, h, v, with: has } = sizes;
    return {
      ...latentTable(sizes),
      wG: has && place("g_proj.weight", "attn_gate.weight", [has.headGate ? h : h * v, d]),
      wO: place("dense.weight", "attn_output.weight", [d, h * v]),
    };
  },
  names: { ...usualNames, embedding: "word_embeddings", attention: "attention", correction: "expert_bias" },
  gguf: lingGguf,
});

/** Throws FormatError for a config that is not, or not surely, Ling 3's. */
function checkThird(config: Config): void {
  const { architectures: names } = config as { architectures?: readonly string[] | null };
  const known = ["linear_attention", "no_kda_lora", "kda_safe_gate", "kda_lower_bound"];
  if (names ? names.includes(third) : known.some((key) => config[key] !== undefined)) return;
  throw new FormatError(
    `architectures: got ${names ? formatJson(names).slice(0, 80) : "nothing"}, expected ${third}, or nothing and one of ${known.join(", ")}; ` +
      "Ling 2.5 and 2.6 have the same model_type and are not supported",
  );
}

/** What a config says of positions, without the share of a head that turns. */
function positions({ rope_scaling, rope_parameters }: { rope_scaling?: unknown; rope_parameters?: unknown }) {
  const whole = (said: unknown) => {
    const { partial_rotary_factor: _, ...rest } = (said ?? {}) as Config;
    return Object.keys(rest).length ? rest : null;
  };
  return { rope_scaling: whole(rope_scaling), rope_parameters: whole(rope_parameters) };
}

/** Its experts, whose shared ones have a width of their own. */
function mixture(
  config: Parameters<typeof expertsOf>[0] & {
    readonly num_experts?: number | null | undefined;
    readonly num_shared_experts?: number | null | undefined;
    readonly moe_shared_expert_intermediate_size?: number | null | undefined;
  },
  layers: number,
) {
  const { num_experts: x, num_shared_experts: shared, moe_shared_expert_intermediate_size: width } = config;
  const how = { scores: "sigmoid", normalised: config.num_experts_per_tok !== 1, grouped: "grouped" } as const;
  const named = { ...config, n_routed_experts: x, n_shared_experts: shared };
  const found = expertsOf(named, { ...how, layers, called });
  if (found?.kind !== "experts" || !shared) return found;
  if (!width)
    throw new FormatError(
      `moe_shared_expert_intermediate_size: got nothing, expected a number beside num_shared_experts ${shared}; add it to the config`,
    );
  return { ...found, shared: width * shared };
}
