import { repeat } from "./pattern.ts";
import type { Preset } from "./preset.ts";

/** Where the sizes of DeepSeek's V3 and of others in its shape stand beside the publisher's config. */
const transformers = "huggingface/transformers configuration";

/** The sizes of heads and ranks that most models with latent attention share. */
export const latentHeads = { kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 };

const v2Lite = {
  model_type: "deepseek_v2",
  vocab_size: 102400,
  hidden_size: 2048,
  num_hidden_layers: 27,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  q_lora_rank: null,
  ...latentHeads,
  intermediate_size: 10944,
  moe_intermediate_size: 1408,
  n_routed_experts: 64,
  n_shared_experts: 2,
  num_experts_per_tok: 6,
  first_k_dense_replace: 1,
  moe_layer_freq: 1,
  max_position_embeddings: 163840,
  tie_word_embeddings: false,
};

export const deepseekV3 = {
  model_type: "deepseek_v3",
  vocab_size: 129280,
  hidden_size: 7168,
  num_hidden_layers: 61,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  q_lora_rank: 1536,
  ...latentHeads,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  n_routed_experts: 256,
  n_shared_experts: 1,
  num_experts_per_tok: 8,
  first_k_dense_replace: 3,
  moe_layer_freq: 1,
  max_position_embeddings: 163840,
  tie_word_embeddings: false,
};

const v3Source = "deepseek-ai/DeepSeek-V3 config.json; checked: transformers configuration_deepseek_v3.py";
const published = { total: 671e9, active: 37e9 };

const v4 = {
  model_type: "deepseek_v4",
  vocab_size: 129280,
  num_key_value_heads: 1,
  head_dim: 512,
  qk_rope_head_dim: 64,
  o_lora_rank: 1024,
  sliding_window: 128,
  index_n_heads: 64,
  index_head_dim: 128,
  n_shared_experts: 1,
  num_experts_per_tok: 6,
  num_hash_layers: 3,
  hc_mult: 4,
  max_position_embeddings: 1048576,
  tie_word_embeddings: false,
};

/** DeepSeek: latent attention from V2 to V3.2, one entry that is key and value in V4. */
export const deepseek: readonly Preset[] = [
  {
    name: "deepseek-v2-lite",
    source: "deepseek-ai/DeepSeek-V2-Lite config.json; checked: mlc-llm model_preset.py",
    published: { total: 15.7e9, active: 2.4e9 },
    config: v2Lite,
  },
  {
    name: "deepseek-coder-v2-lite",
    source: "deepseek-ai/DeepSeek-Coder-V2-Lite-Base config.json, the sizes of DeepSeek-V2-Lite",
    published: { total: 16e9, active: 2.4e9 },
    differs: "published rounded to whole billions",
    config: v2Lite,
  },
  {
    name: "deepseek-v2",
    aliases: ["deepseek-v2.5", "deepseek-coder-v2", "deepseek-v2-chat"],
    source: "deepseek-ai/DeepSeek-V2 config.json; checked: copies of it in tests of public parameter counters",
    published: { total: 236e9, active: 21e9 },
    config: {
      ...v2Lite,
      hidden_size: 5120,
      num_hidden_layers: 60,
      num_attention_heads: 128,
      num_key_value_heads: 128,
      q_lora_rank: 1536,
      intermediate_size: 12288,
      moe_intermediate_size: 1536,
      n_routed_experts: 160,
    },
  },
  { name: "deepseek-v3", aliases: ["deepseek-v3-0324"], source: v3Source, published, config: deepseekV3 },
  {
    name: "deepseek-r1",
    aliases: ["deepseek-r1-0528"],
    source: "deepseek-ai/DeepSeek-R1 config.json, the sizes of DeepSeek-V3",
    published,
    config: deepseekV3,
  },
  {
    name: "deepseek-v3.1",
    aliases: ["deepseek-v3.1-terminus"],
    source: "deepseek-ai/DeepSeek-V3.1 config.json, the sizes of DeepSeek-V3",
    published,
    config: deepseekV3,
  },
  {
    name: "deepseek-v3.2",
    aliases: ["deepseek-v3.2-exp", "deepseek-v3.2-speciale"],
    source: "deepseek-ai/DeepSeek-V3.2 config.json; checked: aiconfigurator model_configs",
    published,
    config: { ...deepseekV3, model_type: "deepseek_v32", index_n_heads: 64, index_head_dim: 128, index_topk: 2048 },
  },
  {
    name: "deepseek-v4-flash",
    source: `deepseek-ai/DeepSeek-V4-Flash config.json; checked: aiconfigurator model_configs, ${transformers}_deepseek_v4.py`,
    published: { total: 284e9, active: 13e9 },
    config: {
      ...v4,
      hidden_size: 4096,
      num_hidden_layers: 43,
      num_attention_heads: 64,
      q_lora_rank: 1024,
      o_groups: 8,
      moe_intermediate_size: 2048,
      n_routed_experts: 256,
      index_topk: 512,
      compress_ratios: [0, 0, ...repeat(41, 4, 128)],
    },
  },
  {
    name: "deepseek-v4-pro",
    source: "deepseek-ai/DeepSeek-V4-Pro config.json; checked: aiconfigurator model_configs",
    published: { total: 1600e9, active: 49e9 },
    differs: "published rounded to a tenth of a trillion",
    config: {
      ...v4,
      hidden_size: 7168,
      num_hidden_layers: 61,
      num_attention_heads: 128,
      q_lora_rank: 1536,
      o_groups: 16,
      moe_intermediate_size: 3072,
      n_routed_experts: 384,
      index_topk: 1024,
      // The last entry is that of the layer that predicts a further token.
      compress_ratios: [128, 128, ...repeat(59, 4, 128), 0],
    },
  },
];
