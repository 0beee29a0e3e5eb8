import { repeated } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const litgpt = "checked: litgpt config.py";
const mlc = "checked: mlc-llm model_preset.py";
const transformers = "checked: huggingface/transformers configuration";
const gpt2 = { model_type: "gpt2", vocab_size: 50257, n_positions: 1024 };
const phi3 = { model_type: "phi3", hidden_size: 3072, num_hidden_layers: 32, intermediate_size: 8192 };
const falcon = { model_type: "falcon", vocab_size: 65024, bias: false, parallel_attn: true, multi_query: true };
const cohere = { vocab_size: 256000, tie_word_embeddings: true };
const starcoder2 = { model_type: "starcoder2", vocab_size: 49152, use_bias: true, max_position_embeddings: 16384 };
const granite = {
  ...{ model_type: "granite", vocab_size: 49155, num_hidden_layers: 40, num_attention_heads: 32 },
  ...{ num_key_value_heads: 8, max_position_embeddings: 131072, tie_word_embeddings: true },
};

/** Dense models of other publishers with multi-head, grouped-query or multi-query attention. */
export const grouped: readonly Preset[] = [
  {
    name: "gpt2",
    aliases: ["gpt-2"],
    source: `openai-community/gpt2 config.json; ${mlc}`,
    published: { total: 124e6 },
    config: { ...gpt2, n_embd: 768, n_head: 12, n_layer: 12 },
  },
  {
    name: "gpt2-medium",
    source: `openai-community/gpt2-medium config.json; ${mlc}`,
    published: { total: 355e6 },
    config: { ...gpt2, n_embd: 1024, n_head: 16, n_layer: 24 },
  },
  {
    name: "gpt2-xl",
    source: "openai-community/gpt2-xl config.json; checked: public notebooks that print it, 1,557,611,200 parameters",
    published: { total: 1557611200 },
    config: { ...gpt2, n_embd: 1600, n_head: 25, n_layer: 48 },
  },
  {
    name: "falcon-7b",
    source: `tiiuae/falcon-7b config.json; ${litgpt}`,
    published: { total: 6.92e9 },
    config: { ...falcon, hidden_size: 4544, num_hidden_layers: 32, num_attention_heads: 71, alibi: false },
  },
  {
    name: "falcon-40b",
    source: `tiiuae/falcon-40b config.json; ${litgpt}`,
    published: { total: 41.3e9 },
    config: {
      ...{ ...falcon, hidden_size: 8192, num_hidden_layers: 60, num_attention_heads: 128, num_kv_heads: 8 },
      ...{ new_decoder_architecture: true, alibi: false },
    },
  },
  {
    name: "falcon-180b",
    source: `tiiuae/falcon-180B config.json; ${litgpt}`,
    published: { total: 180e9 },
    config: {
      ...{ ...falcon, hidden_size: 14848, num_hidden_layers: 80, num_attention_heads: 232, num_kv_heads: 8 },
      ...{ new_decoder_architecture: true, alibi: false },
    },
  },
  {
    name: "phi-2",
    source: `microsoft/phi-2 config.json; ${litgpt}`,
    published: { total: 2.78e9 },
    config: {
      ...{ model_type: "phi", vocab_size: 51200, hidden_size: 2560, num_hidden_layers: 32, num_attention_heads: 32 },
      ...{ num_key_value_heads: 32, intermediate_size: 10240, max_position_embeddings: 2048 },
      tie_word_embeddings: false,
    },
  },
  {
    name: "phi-3-mini",
    aliases: ["phi-3-mini-4k"],
    source: `microsoft/Phi-3-mini-4k-instruct config.json; ${mlc}`,
    published: { total: 3.82e9 },
    config: {
      ...{ ...phi3, vocab_size: 32064, num_attention_heads: 32, num_key_value_heads: 32, sliding_window: 2047 },
      ...{ max_position_embeddings: 4096, tie_word_embeddings: false },
    },
  },
  {
    name: "phi-3.5-mini",
    source: `microsoft/Phi-3.5-mini-instruct config.json; ${mlc}`,
    published: { total: 3.82e9 },
    config: {
      ...{ ...phi3, vocab_size: 32064, num_attention_heads: 32, num_key_value_heads: 32, sliding_window: 262144 },
      ...{ max_position_embeddings: 131072, tie_word_embeddings: false },
    },
  },
  {
    name: "phi-4-mini",
    source: `microsoft/Phi-4-mini-instruct config.json; ${mlc}`,
    published: { total: 3.84e9 },
    config: {
      ...{ ...phi3, vocab_size: 200064, num_attention_heads: 24, num_key_value_heads: 8, sliding_window: 262144 },
      ...{ max_position_embeddings: 131072, tie_word_embeddings: true },
    },
  },
  {
    name: "phi-4",
    source: `microsoft/phi-4 config.json; ${litgpt}`,
    published: { total: 14.7e9 },
    config: {
      ...{ model_type: "phi3", vocab_size: 100352, hidden_size: 5120, num_hidden_layers: 40 },
      ...{ num_attention_heads: 40, num_key_value_heads: 10, intermediate_size: 17920, sliding_window: null },
      ...{ max_position_embeddings: 16384, tie_word_embeddings: false },
    },
  },
  {
    name: "command-r",
    source: `CohereLabs/c4ai-command-r-v01 config.json; ${transformers}_cohere.py`,
    published: { total: 35e9 },
    config: {
      ...{ ...cohere, model_type: "cohere", hidden_size: 8192, num_hidden_layers: 40, num_attention_heads: 64 },
      ...{ num_key_value_heads: 64, intermediate_size: 22528, max_position_embeddings: 131072 },
    },
  },
  {
    name: "aya-23-8b",
    source: `CohereLabs/aya-23-8B config.json; ${mlc}`,
    published: { total: 8.03e9 },
    config: {
      ...{ ...cohere, model_type: "cohere", hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32 },
      ...{ num_key_value_heads: 8, intermediate_size: 14336, max_position_embeddings: 8192 },
    },
  },
  {
    name: "command-r7b",
    source: "CohereLabs/c4ai-command-r7b-12-2024 config.json; from memory",
    published: { total: 8.03e9 },
    config: {
      ...{ ...cohere, model_type: "cohere2", hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32 },
      ...{ num_key_value_heads: 8, head_dim: 128, intermediate_size: 14336, sliding_window: 4096 },
      ...{ sliding_window_pattern: 4, max_position_embeddings: 132096 },
    },
  },
  {
    name: "olmo-2-7b",
    source: `allenai/OLMo-2-1124-7B config.json; ${litgpt}`,
    published: { total: 7.3e9 },
    config: {
      ...{ model_type: "olmo2", vocab_size: 100352, hidden_size: 4096, num_hidden_layers: 32 },
      ...{ num_attention_heads: 32, num_key_value_heads: 32, intermediate_size: 11008 },
      ...{ max_position_embeddings: 4096, tie_word_embeddings: false },
    },
  },
  {
    name: "olmo-3-7b",
    source: `allenai/Olmo-3-7B-Instruct config.json; ${transformers}_olmo3.py; from memory: vocabulary and context`,
    published: { total: 7.3e9 },
    config: {
      ...{ model_type: "olmo3", vocab_size: 100278, hidden_size: 4096, num_hidden_layers: 32 },
      ...{ num_attention_heads: 32, num_key_value_heads: 32, intermediate_size: 11008, sliding_window: 4096 },
      layer_types: repeated(32, ...repeated(3, "sliding_attention"), "full_attention"),
      ...{ max_position_embeddings: 65536, tie_word_embeddings: false },
    },
  },
  {
    name: "smollm2-135m",
    source: `HuggingFaceTB/SmolLM2-135M config.json; ${mlc}`,
    published: { total: 135e6 },
    config: {
      ...{ model_type: "llama", vocab_size: 49152, hidden_size: 576, num_hidden_layers: 30, num_attention_heads: 9 },
      ...{ num_key_value_heads: 3, intermediate_size: 1536, max_position_embeddings: 8192, tie_word_embeddings: true },
    },
  },
  {
    name: "smollm2-1.7b",
    source: `HuggingFaceTB/SmolLM2-1.7B config.json; ${mlc}`,
    published: { total: 1.71e9 },
    config: {
      ...{ model_type: "llama", vocab_size: 49152, hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 32 },
      ...{ num_key_value_heads: 32, intermediate_size: 8192, max_position_embeddings: 8192, tie_word_embeddings: true },
    },
  },
  {
    name: "smollm3-3b",
    aliases: ["smollm3"],
    source: `HuggingFaceTB/SmolLM3-3B config.json; ${transformers}_smollm3.py`,
    published: { total: 3.08e9 },
    config: {
      ...{ model_type: "smollm3", vocab_size: 128256, hidden_size: 2048, num_hidden_layers: 36 },
      ...{ num_attention_heads: 16, num_key_value_heads: 4, intermediate_size: 11008 },
      ...{ max_position_embeddings: 65536, tie_word_embeddings: true },
    },
  },
  {
    name: "starcoder2-7b",
    source: `bigcode/starcoder2-7b config.json; ${mlc}`,
    published: { total: 7.17e9 },
    config: {
      ...{ ...starcoder2, hidden_size: 4608, num_hidden_layers: 32, num_attention_heads: 36, num_key_value_heads: 4 },
      ...{ intermediate_size: 18432, sliding_window: 4096, tie_word_embeddings: true },
    },
  },
  {
    name: "starcoder2-3b",
    source: `bigcode/starcoder2-3b config.json; ${transformers}_starcoder2.py`,
    published: { total: 3.03e9 },
    config: {
      ...{ ...starcoder2, hidden_size: 3072, num_hidden_layers: 30, num_attention_heads: 24, num_key_value_heads: 2 },
      ...{ intermediate_size: 12288, sliding_window: 4096, tie_word_embeddings: true },
    },
  },
  {
    name: "granite-3.1-2b",
    source: "ibm-granite/granite-3.1-2b-base config.json; checked: a copy of it in tests of a public loader",
    published: { total: 2.53e9 },
    config: { ...granite, hidden_size: 2048, intermediate_size: 8192 },
  },
  {
    name: "granite-3.1-8b",
    source: "ibm-granite/granite-3.1-8b-base config.json; from memory: hidden and intermediate sizes",
    published: { total: 8.17e9 },
    config: { ...granite, hidden_size: 4096, intermediate_size: 12800 },
  },
  {
    name: "seed-oss-36b",
    aliases: ["seed-oss"],
    source: `ByteDance-Seed/Seed-OSS-36B-Instruct config.json; ${transformers}_seed_oss.py; from memory: hidden size 5120`,
    published: { total: 36.2e9 },
    config: {
      ...{ model_type: "seed_oss", vocab_size: 155136, hidden_size: 5120, num_hidden_layers: 64 },
      ...{ num_attention_heads: 80, num_key_value_heads: 8, head_dim: 128, intermediate_size: 27648 },
      ...{ attention_bias: true, max_position_embeddings: 524288, tie_word_embeddings: false },
    },
  },
  {
    name: "internlm2.5-7b",
    source: `internlm/internlm2_5-7b config.json; ${mlc}`,
    published: { total: 7.74e9 },
    config: {
      ...{ model_type: "internlm2", vocab_size: 92544, hidden_size: 4096, num_hidden_layers: 32 },
      ...{ num_attention_heads: 32, num_key_value_heads: 8, intermediate_size: 14336 },
      ...{ max_position_embeddings: 32768, tie_word_embeddings: false },
    },
  },
  {
    name: "pythia-6.9b",
    source: `EleutherAI/pythia-6.9b config.json; ${litgpt}`,
    published: { total: 6.86e9 },
    config: {
      ...{ model_type: "gpt_neox", vocab_size: 50432, hidden_size: 4096, num_hidden_layers: 32 },
      ...{ num_attention_heads: 32, intermediate_size: 16384, max_position_embeddings: 2048 },
      tie_word_embeddings: false,
    },
  },
];
