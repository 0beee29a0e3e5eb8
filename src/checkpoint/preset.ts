import type { Config } from "../family/config.ts";

/** What `biform make-model` makes, and how large. */
export const presets = [
  "llama",
  "qwen3",
  "deepseek2",
  "deepseek2-moe",
  "deepseek3-moe",
  "minicpm3",
  "kimi-linear",
  "ling3",
] as const;
export type Preset = (typeof presets)[number];
export const sizes = ["tiny", "small", "450m"] as const;
export type Size = (typeof sizes)[number];

/** Widths by size. All are multiples of 256 where a row may be cut into blocks of 256. */
const widths = {
  tiny: { hidden_size: 256, intermediate_size: 512, vocab_size: 512, max_position_embeddings: 512 },
  small: { hidden_size: 512, intermediate_size: 1536, vocab_size: 8192, max_position_embeddings: 4096 },
  "450m": { hidden_size: 1536, intermediate_size: 4096, vocab_size: 32000, max_position_embeddings: 16384 },
};

/** Heads of grouped attention, and DeepSeek-V2-Lite's heads where there is room. */
const grouped = {
  tiny: { num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 },
  small: { num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64 },
  "450m": { num_hidden_layers: 14, num_attention_heads: 12, num_key_value_heads: 4, head_dim: 128 },
};
const narrow = { qk_nope_head_dim: 32, qk_rope_head_dim: 32, v_head_dim: 32, kv_lora_rank: 256, q_lora_rank: 256 };
const wide = { qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128, kv_lora_rank: 512, q_lora_rank: 768 };
const latent = {
  tiny: { ...narrow, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 4 },
  small: { ...narrow, num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 8 },
  "450m": { ...wide, num_hidden_layers: 12, num_attention_heads: 16, num_key_value_heads: 16 },
};
const experts = {
  tiny: { num_hidden_layers: 3, n_routed_experts: 8, num_experts_per_tok: 3, moe_intermediate_size: 256 },
  small: { num_hidden_layers: 6, n_routed_experts: 8, num_experts_per_tok: 3, moe_intermediate_size: 256 },
  "450m": {
    hidden_size: 1024,
    num_hidden_layers: 12,
    q_lora_rank: 512,
    n_routed_experts: 16,
    num_experts_per_tok: 4,
    moe_intermediate_size: 512,
  },
};

/** Hybrids: three layers of KDA to one of MLA, and the tail of the released models, the last layer MLA. */
const hybrid = {
  tiny: { num_hidden_layers: 4, linear: 32, num_experts: 8, per_token: 3, inner: 256 },
  small: { num_hidden_layers: 8, linear: 64, num_experts: 8, per_token: 3, inner: 256 },
  "450m": { num_hidden_layers: 12, linear: 128, num_experts: 16, per_token: 4, inner: 512 },
};

const common = { hidden_act: "silu", rms_norm_eps: 1e-6, tie_word_embeddings: false, torch_dtype: "float32" };

/** The config.json of a preset, in the keys of its family. */
export function presetConfig(preset: Preset, size: Size): Config {
  const base = { ...common, ...widths[size] };
  const original = base.max_position_embeddings / 4;
  const yarn = {
    type: "yarn",
    factor: 4,
    original_max_position_embeddings: original,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 0.7,
    mscale_all_dim: 0.7,
  };
  const mixture = {
    ...latent[size],
    ...base,
    ...experts[size],
    n_shared_experts: 1,
    first_k_dense_replace: 1,
    moe_layer_freq: 1,
    rope_theta: 10000,
    rope_scaling: yarn,
  };
  switch (preset) {
    case "llama":
      return {
        architectures: ["LlamaForCausalLM"],
        model_type: "llama",
        ...base,
        ...grouped[size],
        rope_theta: 10000,
        rope_scaling: null,
        attention_bias: false,
        mlp_bias: false,
      };
    case "qwen3":
      return {
        architectures: ["Qwen3ForCausalLM"],
        model_type: "qwen3",
        ...base,
        ...grouped[size],
        rope_theta: 1000000,
        rope_scaling: null,
        attention_bias: false,
        use_sliding_window: false,
      };
    case "deepseek2":
      return {
        architectures: ["DeepseekV3ForCausalLM"],
        model_type: "deepseek_v3",
        ...base,
        ...latent[size],
        first_k_dense_replace: latent[size].num_hidden_layers,
        rope_theta: 10000,
        rope_scaling: null,
      };
    case "deepseek2-moe":
      return {
        architectures: ["DeepseekV2ForCausalLM"],
        model_type: "deepseek_v2",
        ...mixture,
        topk_method: "greedy",
        n_group: 1,
        topk_group: 1,
        scoring_func: "softmax",
        norm_topk_prob: false,
        routed_scaling_factor: 1.5,
      };
    case "deepseek3-moe":
      return {
        architectures: ["DeepseekV3ForCausalLM"],
        model_type: "deepseek_v3",
        ...mixture,
        topk_method: "noaux_tc",
        n_group: 4,
        topk_group: 2,
        scoring_func: "sigmoid",
        norm_topk_prob: true,
        routed_scaling_factor: 2.5,
      };
    case "kimi-linear": {
      const { num_hidden_layers: layers, linear, num_experts, per_token, inner } = hybrid[size];
      const { q_lora_rank: _, ...heads } = latent[size];
      const { max_position_embeddings: context, ...plain } = base;
      const full = Array.from({ length: layers }, (_, i) => i + 1).filter((i) => i % 4 === 0);
      return {
        architectures: ["KimiLinearForCausalLM"],
        model_type: "kimi_linear",
        ...plain,
        ...heads,
        ...(size === "450m" && { hidden_size: 1024 }),
        num_hidden_layers: layers,
        rms_norm_eps: 1e-5,
        q_lora_rank: null,
        mla_use_nope: true,
        linear_attn_config: {
          kda_layers: Array.from({ length: layers }, (_, i) => i + 1).filter((i) => !full.includes(i)),
          full_attn_layers: full,
          num_heads: heads.num_attention_heads,
          head_dim: linear,
          short_conv_kernel_size: 4,
        },
        num_experts,
        num_experts_per_token: per_token,
        num_shared_experts: 1,
        moe_intermediate_size: inner,
        moe_renormalize: true,
        moe_router_activation_func: "sigmoid",
        num_expert_group: 1,
        topk_group: 1,
        first_k_dense_replace: 1,
        moe_layer_freq: 1,
        routed_scaling_factor: 2.446,
        rope_theta: 10000,
        rope_scaling: null,
        model_max_length: context,
      };
    }
    case "ling3": {
      const { num_hidden_layers: layers, linear, num_experts, per_token, inner } = hybrid[size];
      const { qk_nope_head_dim: n, qk_rope_head_dim: r } = latent[size];
      return {
        architectures: ["BailingMoeV3ForCausalLM"],
        model_type: "bailing_hybrid",
        ...base,
        ...latent[size],
        ...(size === "450m" && { hidden_size: 1024 }),
        num_hidden_layers: layers,
        qk_head_dim: n + r,
        gated_attention_proj_granularity_type: "head_wise",
        layer_group_size: 4,
        head_dim: linear,
        short_conv_kernel_size: 4,
        no_kda_lora: true,
        kda_safe_gate: true,
        kda_lower_bound: -5,
        num_experts,
        num_experts_per_tok: per_token,
        num_shared_experts: 1,
        moe_intermediate_size: inner,
        moe_shared_expert_intermediate_size: inner,
        first_k_dense_replace: 1,
        n_group: 4,
        topk_group: 2,
        norm_topk_prob: true,
        routed_scaling_factor: 2.5,
        score_function: "sigmoid",
        topk_method: "noaux_tc",
        rope_theta: 6000000,
        rope_scaling: null,
        rope_interleave: true,
      };
    }
    case "minicpm3": {
      // Values as wide as a head's share of the width, as the released model has them.
      const { v_head_dim: _, ...heads } = latent[size];
      const layers = size === "450m" ? 14 : heads.num_hidden_layers;
      const pairs = heads.qk_rope_head_dim / 2;
      const rising = (by: number) => Array.from({ length: pairs }, (_, i) => 1 + (by * (i + 1)) / pairs);
      return {
        architectures: ["MiniCPM3ForCausalLM"],
        model_type: "minicpm3",
        ...base,
        ...heads,
        num_hidden_layers: layers,
        tie_word_embeddings: true,
        scale_emb: 12,
        scale_depth: 1.4,
        dim_model_base: 256,
        rope_theta: 10000,
        rope_scaling: {
          type: "longrope",
          factor: 1,
          long_factor: rising(3),
          short_factor: rising(0.5),
          original_max_position_embeddings: base.max_position_embeddings,
        },
      };
    }
  }
}
