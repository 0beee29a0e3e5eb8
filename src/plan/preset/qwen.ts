import type { Preset } from "./preset.ts";

const litgpt = "checked: litgpt config.py";
const mlc = "checked: mlc-llm model_preset.py";

const qwen2 = { model_type: "qwen2", vocab_size: 152064, max_position_embeddings: 131072, tie_word_embeddings: false };
const qwen2Small = { ...qwen2, vocab_size: 151936, max_position_embeddings: 32768, tie_word_embeddings: true };
const of14b = { hidden_size: 5120, num_hidden_layers: 48, num_attention_heads: 40, num_key_value_heads: 8 };
const of72b = { hidden_size: 8192, num_hidden_layers: 80, num_attention_heads: 64, num_key_value_heads: 8 };

const qwen3 = {
  ...{ model_type: "qwen3", vocab_size: 151936, num_key_value_heads: 8, head_dim: 128 },
  ...{ max_position_embeddings: 40960, tie_word_embeddings: false },
};
const qwen3Moe = {
  ...qwen3,
  model_type: "qwen3_moe",
  num_key_value_heads: 4,
  num_experts: 128,
  num_experts_per_tok: 8,
};

/** Three layers with a state of fixed size, one with attention and an output gate. */
const hybrid = {
  ...{ head_dim: 256, full_attention_interval: 4, linear_conv_kernel_dim: 4, linear_num_key_heads: 16 },
  ...{ linear_key_head_dim: 128, linear_value_head_dim: 128, max_position_embeddings: 262144 },
};
const qwen35 = { ...hybrid, model_type: "qwen3_5_text", vocab_size: 248320, attn_output_gate: true };

/** Qwen, and models of its shape. */
export const qwen: readonly Preset[] = [
  {
    name: "qwen1.5-1.8b",
    source: `Qwen/Qwen1.5-1.8B config.json; ${mlc}`,
    published: { total: 1.84e9 },
    config: {
      ...{ ...qwen2Small, hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 16, num_key_value_heads: 16 },
      ...{ intermediate_size: 5504, max_position_embeddings: 32768, tie_word_embeddings: false },
    },
  },
  {
    name: "qwen1.5-moe-a2.7b",
    source: `Qwen/Qwen1.5-MoE-A2.7B config.json; ${mlc}`,
    published: { total: 14.3e9, active: 2.7e9 },
    config: {
      ...{ model_type: "qwen2_moe", vocab_size: 151936, hidden_size: 2048, num_hidden_layers: 24 },
      ...{ num_attention_heads: 16, num_key_value_heads: 16, intermediate_size: 5632, decoder_sparse_step: 1 },
      ...{ moe_intermediate_size: 1408, shared_expert_intermediate_size: 5632, num_experts: 60 },
      ...{ num_experts_per_tok: 4, max_position_embeddings: 8192, tie_word_embeddings: false },
    },
  },
  {
    name: "qwen2-0.5b",
    aliases: ["qwen2.5-0.5b"],
    source: `Qwen/Qwen2-0.5B config.json; ${mlc}`,
    published: { total: 0.494e9 },
    config: {
      ...{ ...qwen2Small, hidden_size: 896, num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2 },
      intermediate_size: 4864,
    },
  },
  {
    name: "qwen2-1.5b",
    aliases: ["qwen2.5-1.5b"],
    source: `Qwen/Qwen2-1.5B config.json; ${mlc}`,
    published: { total: 1.54e9 },
    config: {
      ...{ ...qwen2Small, hidden_size: 1536, num_hidden_layers: 28, num_attention_heads: 12, num_key_value_heads: 2 },
      ...{ intermediate_size: 8960, max_position_embeddings: 131072 },
    },
  },
  {
    name: "qwen2.5-3b",
    source: `Qwen/Qwen2.5-3B config.json; ${mlc}`,
    published: { total: 3.09e9 },
    config: {
      ...{ ...qwen2Small, hidden_size: 2048, num_hidden_layers: 36, num_attention_heads: 16, num_key_value_heads: 2 },
      intermediate_size: 11008,
    },
  },
  {
    name: "qwen2.5-7b",
    aliases: ["qwen2-7b"],
    source: `Qwen/Qwen2.5-7B config.json; ${litgpt}`,
    published: { total: 7.61e9 },
    config: {
      ...{ ...qwen2, hidden_size: 3584, num_hidden_layers: 28, num_attention_heads: 28, num_key_value_heads: 4 },
      intermediate_size: 18944,
    },
  },
  {
    name: "qwen2.5-14b",
    source: `Qwen/Qwen2.5-14B config.json; ${litgpt}`,
    published: { total: 14.7e9 },
    config: { ...qwen2, ...of14b, intermediate_size: 13824 },
  },
  {
    name: "qwen2.5-32b",
    aliases: ["qwq-32b", "qwen2.5-coder-32b"],
    source: `Qwen/Qwen2.5-32B config.json; ${litgpt}`,
    published: { total: 32.5e9 },
    config: { ...qwen2, ...of14b, num_hidden_layers: 64, intermediate_size: 27648 },
  },
  {
    name: "qwen2.5-72b",
    aliases: ["qwen2-72b"],
    source: `Qwen/Qwen2.5-72B config.json; ${litgpt}`,
    published: { total: 72.7e9 },
    config: { ...qwen2, ...of72b, intermediate_size: 29568 },
  },
  {
    name: "qwen3-0.6b",
    source: `Qwen/Qwen3-0.6B config.json; ${mlc}`,
    published: { total: 0.6e9 },
    config: {
      ...{ ...qwen3, hidden_size: 1024, num_hidden_layers: 28, num_attention_heads: 16, intermediate_size: 3072 },
      tie_word_embeddings: true,
    },
  },
  {
    name: "qwen3-1.7b",
    source: `Qwen/Qwen3-1.7B config.json; ${mlc}`,
    published: { total: 1.7e9 },
    differs: "published rounded to a tenth of a billion",
    config: {
      ...{ ...qwen3, hidden_size: 2048, num_hidden_layers: 28, num_attention_heads: 16, intermediate_size: 6144 },
      tie_word_embeddings: true,
    },
  },
  {
    name: "qwen3-4b",
    source: `Qwen/Qwen3-4B config.json; ${mlc}`,
    published: { total: 4.02e9 },
    config: {
      ...{ ...qwen3, hidden_size: 2560, num_hidden_layers: 36, num_attention_heads: 32, intermediate_size: 9728 },
      tie_word_embeddings: true,
    },
  },
  {
    name: "qwen3-8b",
    source: `Qwen/Qwen3-8B config.json; ${mlc}`,
    published: { total: 8.2e9 },
    config: {
      ...{ ...qwen3, hidden_size: 4096, num_hidden_layers: 36, num_attention_heads: 32, intermediate_size: 12288 },
    },
  },
  {
    name: "qwen3-14b",
    source: `Qwen/Qwen3-14B config.json; ${litgpt}`,
    published: { total: 14.8e9 },
    config: {
      ...{ ...qwen3, hidden_size: 5120, num_hidden_layers: 40, num_attention_heads: 40, intermediate_size: 17408 },
    },
  },
  {
    name: "qwen3-32b",
    source: `Qwen/Qwen3-32B config.json; ${litgpt}`,
    published: { total: 32.8e9 },
    config: {
      ...{ ...qwen3, hidden_size: 5120, num_hidden_layers: 64, num_attention_heads: 64, intermediate_size: 25600 },
    },
  },
  {
    name: "qwen3-30b-a3b",
    aliases: ["qwen3-coder-30b-a3b"],
    source: `Qwen/Qwen3-30B-A3B config.json; ${litgpt}`,
    published: { total: 30.5e9, active: 3.3e9 },
    config: {
      ...{ ...qwen3Moe, hidden_size: 2048, num_hidden_layers: 48, num_attention_heads: 32 },
      ...{ intermediate_size: 6144, moe_intermediate_size: 768 },
    },
  },
  {
    name: "qwen3-235b-a22b",
    source: `Qwen/Qwen3-235B-A22B config.json; ${litgpt}`,
    published: { total: 235e9, active: 22e9 },
    config: {
      ...{ ...qwen3Moe, hidden_size: 4096, num_hidden_layers: 94, num_attention_heads: 64 },
      ...{ intermediate_size: 12288, moe_intermediate_size: 1536 },
    },
  },
  {
    name: "qwen3-next-80b-a3b",
    aliases: ["qwen3-next"],
    source: "Qwen/Qwen3-Next-80B-A3B-Thinking config.json; checked: aiconfigurator model_configs",
    published: { total: 80e9, active: 3e9 },
    config: {
      ...{ ...hybrid, model_type: "qwen3_next", vocab_size: 151936, hidden_size: 2048, num_hidden_layers: 48 },
      ...{ num_attention_heads: 16, num_key_value_heads: 2, linear_num_value_heads: 32, decoder_sparse_step: 1 },
      ...{ intermediate_size: 5120, moe_intermediate_size: 512, shared_expert_intermediate_size: 512 },
      ...{ num_experts: 512, num_experts_per_tok: 10, tie_word_embeddings: false },
    },
  },
  {
    name: "qwen3.5-4b",
    source: "Qwen/Qwen3.5-4B config.json; checked: a copy of it in the tests of a public importer",
    config: {
      ...{ model_type: "qwen3_5", tie_word_embeddings: true },
      text_config: {
        ...{ ...qwen35, hidden_size: 2560, num_hidden_layers: 32, num_attention_heads: 16, num_key_value_heads: 4 },
        ...{ linear_num_value_heads: 32, intermediate_size: 9216, tie_word_embeddings: true },
      },
    },
  },
  {
    name: "qwen3.5-27b",
    aliases: ["qwen3.6-27b"],
    source: "Qwen/Qwen3.5-27B config.json; checked: copies of it in tests of public loaders",
    published: { total: 27e9 },
    config: {
      ...{ model_type: "qwen3_5", tie_word_embeddings: false },
      text_config: {
        ...{ ...qwen35, hidden_size: 5120, num_hidden_layers: 64, num_attention_heads: 24, num_key_value_heads: 4 },
        ...{ linear_num_value_heads: 48, intermediate_size: 17408 },
      },
    },
  },
  {
    name: "qwen3.5-35b-a3b",
    aliases: ["qwen3.6-35b-a3b"],
    source: "Qwen/Qwen3.5-35B-A3B config.json; checked: THUDM/slime scripts/models/qwen3.5-35B-A3B.sh",
    published: { total: 35e9, active: 3e9 },
    config: {
      ...{ model_type: "qwen3_5_moe", tie_word_embeddings: false },
      text_config: {
        ...{ ...qwen35, model_type: "qwen3_5_moe_text", hidden_size: 2048, num_hidden_layers: 40 },
        ...{ num_attention_heads: 16, num_key_value_heads: 2, linear_num_value_heads: 32, num_experts: 256 },
        ...{ num_experts_per_tok: 8, moe_intermediate_size: 512, shared_expert_intermediate_size: 512 },
      },
    },
  },
  {
    name: "qwen3.5-397b-a17b",
    source: "Qwen/Qwen3.5-397B-A17B config.json; checked: aiconfigurator model_configs",
    published: { total: 397e9, active: 17e9 },
    config: {
      ...{ model_type: "qwen3_5_moe", tie_word_embeddings: false },
      text_config: {
        ...{ ...qwen35, model_type: "qwen3_5_moe_text", hidden_size: 4096, num_hidden_layers: 60 },
        ...{ num_attention_heads: 32, num_key_value_heads: 2, linear_num_value_heads: 64, num_experts: 512 },
        ...{ num_experts_per_tok: 10, moe_intermediate_size: 1024, shared_expert_intermediate_size: 1024 },
      },
    },
  },
  {
    name: "mimo-7b",
    source: "XiaomiMiMo/MiMo-7B-RL config.json; checked: THUDM/slime scripts/models/mimo-7B-rl.sh",
    published: { total: 7.6e9 },
    config: {
      ...{ ...qwen2, model_type: "mimo", vocab_size: 151680, hidden_size: 4096, num_hidden_layers: 36 },
      ...{ num_attention_heads: 32, num_key_value_heads: 8, intermediate_size: 11008 },
      max_position_embeddings: 32768,
    },
  },
];
