import { repeat } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const litgpt = "checked: litgpt config.py";
const mlc = "checked: mlc-llm model_preset.py";

/** Llama 1 and 2, and what kept their vocabulary. */
const llama2 = { model_type: "llama", vocab_size: 32000, max_position_embeddings: 4096, tie_word_embeddings: false };
const llama3 = { ...llama2, vocab_size: 128256, num_key_value_heads: 8, max_position_embeddings: 8192 };
const llama31 = { ...llama3, max_position_embeddings: 131072 };

const of7b = { hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 };
const of13b = { hidden_size: 5120, num_hidden_layers: 40, num_attention_heads: 40, num_key_value_heads: 40 };
const of70b = { hidden_size: 8192, num_hidden_layers: 80, num_attention_heads: 64, num_key_value_heads: 8 };

const llama4 = {
  model_type: "llama4_text",
  vocab_size: 202048,
  hidden_size: 5120,
  num_hidden_layers: 48,
  num_attention_heads: 40,
  num_key_value_heads: 8,
  head_dim: 128,
  num_experts_per_tok: 1,
  intermediate_size: 8192,
  intermediate_size_mlp: 16384,
  attention_chunk_size: 8192,
  // 1: rotary and in chunks; 0: without position, over everything.
  no_rope_layers: repeat(48, 1, 1, 1, 0),
  tie_word_embeddings: false,
};

const mistral = { ...of7b, num_key_value_heads: 8, intermediate_size: 14336, max_position_embeddings: 32768 };

/** Llama, Mistral and models of their shape. */
export const llama: readonly Preset[] = [
  {
    name: "llama-1-7b",
    aliases: ["llama-7b"],
    source: "Touvron et al. (arXiv 2302.13971), table 2; checked: candle and public configs of LLaMA",
    published: { total: 6.7e9 },
    config: { ...llama2, ...of7b, intermediate_size: 11008, max_position_embeddings: 2048 },
  },
  {
    name: "llama-1-65b",
    aliases: ["llama-65b"],
    source: "Touvron et al. (arXiv 2302.13971), table 2",
    published: { total: 65.2e9 },
    config: {
      ...llama2,
      ...of70b,
      num_key_value_heads: 64,
      intermediate_size: 22016,
      max_position_embeddings: 2048,
    },
  },
  {
    name: "llama-2-7b",
    source: `meta-llama/Llama-2-7b-hf config.json; ${mlc}`,
    published: { total: 6.74e9 },
    config: { ...llama2, ...of7b, intermediate_size: 11008 },
  },
  {
    name: "llama-2-13b",
    source: `meta-llama/Llama-2-13b-hf config.json; ${mlc}`,
    published: { total: 13.02e9 },
    config: { ...llama2, ...of13b, intermediate_size: 13824 },
  },
  {
    name: "llama-2-70b",
    source: `meta-llama/Llama-2-70b-hf config.json; ${mlc}`,
    published: { total: 69e9 },
    config: { ...llama2, ...of70b, intermediate_size: 28672 },
  },
  {
    name: "codellama-34b",
    source: `codellama/CodeLlama-34b-hf config.json; ${litgpt}`,
    published: { total: 33.7e9 },
    config: {
      ...llama2,
      ...of70b,
      num_hidden_layers: 48,
      intermediate_size: 22016,
      max_position_embeddings: 16384,
    },
  },
  {
    name: "llama-3-8b",
    source: `meta-llama/Meta-Llama-3-8B config.json; ${litgpt}`,
    published: { total: 8.03e9 },
    config: { ...of7b, ...llama3, intermediate_size: 14336 },
  },
  {
    name: "llama-3-70b",
    source: `meta-llama/Meta-Llama-3-70B config.json; ${litgpt}`,
    published: { total: 70.6e9 },
    config: { ...of70b, ...llama3, intermediate_size: 28672 },
  },
  {
    name: "llama-3.1-8b",
    source: `meta-llama/Llama-3.1-8B config.json; ${mlc}`,
    published: { total: 8.03e9 },
    config: { ...of7b, ...llama31, intermediate_size: 14336 },
  },
  {
    name: "llama-3.1-70b",
    aliases: ["llama-3.3-70b"],
    source: `meta-llama/Llama-3.1-70B config.json; ${mlc}`,
    published: { total: 70.6e9 },
    config: { ...of70b, ...llama31, intermediate_size: 28672 },
  },
  {
    name: "llama-3.1-405b",
    source: `meta-llama/Llama-3.1-405B config.json; ${litgpt}`,
    published: { total: 405e9 },
    config: {
      ...llama31,
      hidden_size: 16384,
      num_hidden_layers: 126,
      num_attention_heads: 128,
      intermediate_size: 53248,
    },
  },
  {
    name: "llama-3.2-1b",
    source: `meta-llama/Llama-3.2-1B config.json; ${mlc}`,
    published: { total: 1.24e9 },
    config: {
      ...llama31,
      hidden_size: 2048,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      head_dim: 64,
      intermediate_size: 8192,
      tie_word_embeddings: true,
    },
  },
  {
    name: "llama-3.2-3b",
    source: `meta-llama/Llama-3.2-3B config.json; ${mlc}`,
    published: { total: 3.21e9 },
    config: {
      ...llama31,
      hidden_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 24,
      head_dim: 128,
      intermediate_size: 8192,
      tie_word_embeddings: true,
    },
  },
  {
    name: "llama-4-scout",
    source: "meta-llama/Llama-4-Scout-17B-16E-Instruct config.json; checked: aiconfigurator model_configs",
    published: { total: 109e9, active: 17e9 },
    differs: "published with the vision tower, which is not counted",
    config: {
      model_type: "llama4",
      text_config: {
        ...llama4,
        num_local_experts: 16,
        interleave_moe_layer_step: 1,
        max_position_embeddings: 10485760,
      },
    },
  },
  {
    name: "llama-4-maverick",
    source: "meta-llama/Llama-4-Maverick-17B-128E-Instruct config.json; checked: aiconfigurator model_configs",
    published: { total: 400e9, active: 17e9 },
    config: {
      model_type: "llama4",
      text_config: {
        ...llama4,
        num_local_experts: 128,
        interleave_moe_layer_step: 2,
        max_position_embeddings: 1048576,
      },
    },
  },
  {
    name: "tinyllama-1.1b",
    aliases: ["tinyllama"],
    source: `TinyLlama/TinyLlama-1.1B-Chat-v1.0 config.json; ${mlc}`,
    published: { total: 1.1e9 },
    config: {
      ...llama2,
      hidden_size: 2048,
      num_hidden_layers: 22,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      intermediate_size: 5632,
      max_position_embeddings: 2048,
    },
  },
  {
    name: "mistral-7b",
    aliases: ["mistral-7b-v0.1"],
    source: `mistralai/Mistral-7B-v0.1 config.json; ${litgpt}`,
    published: { total: 7.24e9 },
    config: { ...llama2, ...mistral, model_type: "mistral", sliding_window: 4096 },
  },
  {
    name: "mistral-7b-v0.3",
    source: `mistralai/Mistral-7B-v0.3 config.json; ${mlc}`,
    published: { total: 7.25e9 },
    config: { ...llama2, ...mistral, model_type: "mistral", vocab_size: 32768, sliding_window: null },
  },
  {
    name: "mistral-small-24b",
    aliases: ["mistral-small-3"],
    source: `mistralai/Mistral-Small-24B-Base-2501 config.json; ${litgpt}`,
    published: { total: 23.6e9 },
    config: {
      model_type: "mistral",
      vocab_size: 131072,
      hidden_size: 5120,
      num_hidden_layers: 40,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      head_dim: 128,
      intermediate_size: 32768,
      sliding_window: null,
      max_position_embeddings: 32768,
      tie_word_embeddings: false,
    },
  },
  {
    name: "mistral-large-2",
    aliases: ["mistral-large-2407", "mistral-large-2411"],
    source: `mistralai/Mistral-Large-Instruct-2407 config.json; ${litgpt}`,
    published: { total: 123e9 },
    config: {
      model_type: "mistral",
      vocab_size: 32768,
      hidden_size: 12288,
      num_hidden_layers: 88,
      num_attention_heads: 96,
      num_key_value_heads: 8,
      intermediate_size: 28672,
      sliding_window: null,
      max_position_embeddings: 131072,
      tie_word_embeddings: false,
    },
  },
  {
    name: "ministral-3-3b",
    source: `mistralai/Ministral-3-3B-Reasoning-2512 config.json; ${mlc}`,
    published: { total: 3.4e9 },
    config: {
      model_type: "mistral3",
      text_config: {
        model_type: "ministral3",
        vocab_size: 131072,
        hidden_size: 3072,
        num_hidden_layers: 26,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        head_dim: 128,
        intermediate_size: 9216,
        sliding_window: null,
        max_position_embeddings: 262144,
        tie_word_embeddings: true,
      },
    },
  },
  {
    name: "mixtral-8x7b",
    source: `mistralai/Mixtral-8x7B-v0.1 config.json; ${mlc}`,
    published: { total: 46.7e9, active: 12.9e9 },
    config: {
      ...llama2,
      ...mistral,
      model_type: "mixtral",
      num_local_experts: 8,
      num_experts_per_tok: 2,
      sliding_window: null,
    },
  },
  {
    name: "mixtral-8x22b",
    source: `mistralai/Mixtral-8x22B-v0.1 config.json; ${litgpt}`,
    published: { total: 141e9, active: 39e9 },
    config: {
      ...llama2,
      model_type: "mixtral",
      vocab_size: 32768,
      hidden_size: 6144,
      num_hidden_layers: 56,
      num_attention_heads: 48,
      num_key_value_heads: 8,
      intermediate_size: 16384,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      sliding_window: null,
      max_position_embeddings: 65536,
    },
  },
];
