import type { Preset } from "./preset.ts";

/** Three layers with a state of fixed size, one with attention and an output gate. */
const hybrid = {
  head_dim: 256,
  full_attention_interval: 4,
  linear_conv_kernel_dim: 4,
  linear_num_key_heads: 16,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  max_position_embeddings: 262144,
};
const qwen35 = { ...hybrid, model_type: "qwen3_5_text", vocab_size: 248320, attn_output_gate: true };

/** Hybrid models of Qwen. */
export const hybrids: readonly Preset[] = [
  {
    name: "qwen3-next-80b-a3b",
    aliases: ["qwen3-next"],
    source: "Qwen/Qwen3-Next-80B-A3B-Thinking config.json; checked: aiconfigurator model_configs",
    published: { total: 80e9, active: 3e9 },
    config: {
      ...hybrid,
      model_type: "qwen3_next",
      vocab_size: 151936,
      hidden_size: 2048,
      num_hidden_layers: 48,
      num_attention_heads: 16,
      num_key_value_heads: 2,
      linear_num_value_heads: 32,
      decoder_sparse_step: 1,
      intermediate_size: 5120,
      moe_intermediate_size: 512,
      shared_expert_intermediate_size: 512,
      num_experts: 512,
      num_experts_per_tok: 10,
      tie_word_embeddings: false,
    },
  },
  {
    name: "qwen3.5-4b",
    source: "Qwen/Qwen3.5-4B config.json; checked: a copy of it in the tests of a public importer",
    config: {
      model_type: "qwen3_5",
      tie_word_embeddings: true,
      text_config: {
        ...qwen35,
        hidden_size: 2560,
        num_hidden_layers: 32,
        num_attention_heads: 16,
        num_key_value_heads: 4,
        linear_num_value_heads: 32,
        intermediate_size: 9216,
        tie_word_embeddings: true,
      },
    },
  },
  {
    name: "qwen3.5-27b",
    aliases: ["qwen3.6-27b"],
    source: "Qwen/Qwen3.5-27B config.json; checked: copies of it in tests of public loaders",
    published: { total: 27e9 },
    config: {
      model_type: "qwen3_5",
      tie_word_embeddings: false,
      text_config: {
        ...qwen35,
        hidden_size: 5120,
        num_hidden_layers: 64,
        num_attention_heads: 24,
        num_key_value_heads: 4,
        linear_num_value_heads: 48,
        intermediate_size: 17408,
      },
    },
  },
  {
    name: "qwen3.5-35b-a3b",
    aliases: ["qwen3.6-35b-a3b"],
    source: "Qwen/Qwen3.5-35B-A3B config.json; checked: THUDM/slime scripts/models/qwen3.5-35B-A3B.sh",
    published: { total: 35e9, active: 3e9 },
    config: {
      model_type: "qwen3_5_moe",
      tie_word_embeddings: false,
      text_config: {
        ...qwen35,
        model_type: "qwen3_5_moe_text",
        hidden_size: 2048,
        num_hidden_layers: 40,
        num_attention_heads: 16,
        num_key_value_heads: 2,
        linear_num_value_heads: 32,
        num_experts: 256,
        num_experts_per_tok: 8,
        moe_intermediate_size: 512,
        shared_expert_intermediate_size: 512,
      },
    },
  },
  {
    name: "qwen3.5-397b-a17b",
    source: "Qwen/Qwen3.5-397B-A17B config.json; checked: aiconfigurator model_configs",
    published: { total: 397e9, active: 17e9 },
    config: {
      model_type: "qwen3_5_moe",
      tie_word_embeddings: false,
      text_config: {
        ...qwen35,
        model_type: "qwen3_5_moe_text",
        hidden_size: 4096,
        num_hidden_layers: 60,
        num_attention_heads: 32,
        num_key_value_heads: 2,
        linear_num_value_heads: 64,
        num_experts: 512,
        num_experts_per_tok: 10,
        moe_intermediate_size: 1024,
        shared_expert_intermediate_size: 1024,
      },
    },
  },
];
