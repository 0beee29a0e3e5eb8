import { repeat } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const counted = "checked: transformers 5.24.0 counts the same parameters";
const engine = "checked: aiconfigurator-core 0.12.0 model_configs";

const nemotron = {
  model_type: "nemotron_h",
  vocab_size: 131072,
  head_dim: 128,
  num_key_value_heads: 2,
  mamba_head_dim: 64,
  n_groups: 8,
  ssm_state_size: 128,
  conv_kernel: 4,
  n_shared_experts: 1,
  max_position_embeddings: 262144,
  tie_word_embeddings: false,
};
const nano = {
  ...nemotron,
  hidden_size: 2688,
  hybrid_override_pattern: "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
  num_attention_heads: 32,
  mamba_num_heads: 64,
  intermediate_size: 1856,
  moe_intermediate_size: 1856,
  moe_shared_expert_intermediate_size: 3712,
  n_routed_experts: 128,
  num_experts_per_tok: 6,
};
const next = { num_nextn_predict_layers: 1, mtp_hybrid_override_pattern: "*E" };

/** NVIDIA's hybrids, whose layers are each one half of a block: M Mamba-2, * attention, - an MLP, E experts. */
export const nemotrons: readonly Preset[] = [
  {
    name: "nemotron-3-nano-30b-a3b",
    source: `nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 config.json; ${engine}; ${counted}`,
    published: { total: 31.6e9, active: 3.6e9 },
    config: nano,
  },
  {
    name: "nemotron-3.5-lightning-30b-a3b",
    source: `nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-NVFP4 config.json; ${engine}; ${counted}`,
    published: { total: 31.6e9, active: 3.6e9 },
    config: { ...nano, ...next },
  },
  {
    name: "nemotron-3-super-120b-a12b",
    source: `nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8 config.json; ${engine}; ${counted}`,
    published: { total: 120e9, active: 12e9 },
    config: {
      ...nemotron,
      ...next,
      hidden_size: 4096,
      hybrid_override_pattern:
        "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME",
      num_attention_heads: 32,
      mamba_num_heads: 128,
      intermediate_size: 2688,
      moe_intermediate_size: 2688,
      moe_latent_size: 1024,
      moe_shared_expert_intermediate_size: 5376,
      n_routed_experts: 512,
      num_experts_per_tok: 22,
    },
  },
  {
    name: "nemotron-3-ultra-550b-a55b",
    source: `nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16 config.json; ${engine}; ${counted}`,
    published: { total: 550e9, active: 55e9 },
    config: {
      ...nemotron,
      ...next,
      hidden_size: 8192,
      hybrid_override_pattern:
        "MEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
      num_attention_heads: 64,
      mamba_num_heads: 256,
      intermediate_size: 5120,
      moe_intermediate_size: 5120,
      moe_latent_size: 2048,
      moe_shared_expert_intermediate_size: 10240,
      n_routed_experts: 512,
      num_experts_per_tok: 22,
    },
  },
  {
    name: "nemotron-h-56b",
    source: `nvidia/Nemotron-H-56B-Base-8K config.json; ${engine}; ${counted}`,
    published: { total: 56e9 },
    config: {
      ...nemotron,
      n_shared_experts: 0,
      hidden_size: 8192,
      hybrid_override_pattern: `M-M-M-M*-${repeat(8, "M-M-M-M-M*-").join("")}M-M-M-M-M*-M-M-M-M-M-`,
      num_attention_heads: 64,
      num_key_value_heads: 8,
      mamba_num_heads: 256,
      ssm_state_size: 256,
      intermediate_size: 32768,
      max_position_embeddings: 8192,
    },
  },
];
