import type { Preset } from "./preset.ts";

const litgpt = "checked: litgpt config.py";
const mlc = "checked: mlc-llm model_preset.py";
const gpt2 = { model_type: "gpt2", vocab_size: 50257, n_positions: 1024 };
const phi3 = { model_type: "phi3", hidden_size: 3072, num_hidden_layers: 32, intermediate_size: 8192 };
const falcon = { model_type: "falcon", vocab_size: 65024, bias: false, parallel_attn: true, multi_query: true };

/** Dense models of OpenAI, the Technology Innovation Institute and Microsoft. */
export const dense: readonly Preset[] = [
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
      ...falcon,
      hidden_size: 8192,
      num_hidden_layers: 60,
      num_attention_heads: 128,
      num_kv_heads: 8,
      new_decoder_architecture: true,
      alibi: false,
    },
  },
  {
    name: "falcon-180b",
    source: `tiiuae/falcon-180B config.json; ${litgpt}`,
    published: { total: 180e9 },
    config: {
      ...falcon,
      hidden_size: 14848,
      num_hidden_layers: 80,
      num_attention_heads: 232,
      num_kv_heads: 8,
      new_decoder_architecture: true,
      alibi: false,
    },
  },
  {
    name: "phi-2",
    source: `microsoft/phi-2 config.json; ${litgpt}`,
    published: { total: 2.78e9 },
    config: {
      model_type: "phi",
      vocab_size: 51200,
      hidden_size: 2560,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      intermediate_size: 10240,
      max_position_embeddings: 2048,
      tie_word_embeddings: false,
    },
  },
  {
    name: "phi-3-mini",
    aliases: ["phi-3-mini-4k"],
    source: `microsoft/Phi-3-mini-4k-instruct config.json; ${mlc}`,
    published: { total: 3.82e9 },
    config: {
      ...phi3,
      vocab_size: 32064,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      sliding_window: 2047,
      max_position_embeddings: 4096,
      tie_word_embeddings: false,
    },
  },
  {
    name: "phi-3.5-mini",
    source: `microsoft/Phi-3.5-mini-instruct config.json; ${mlc}`,
    published: { total: 3.82e9 },
    config: {
      ...phi3,
      vocab_size: 32064,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      sliding_window: 262144,
      max_position_embeddings: 131072,
      tie_word_embeddings: false,
    },
  },
  {
    name: "phi-4-mini",
    source: `microsoft/Phi-4-mini-instruct config.json; ${mlc}`,
    published: { total: 3.84e9 },
    config: {
      ...phi3,
      vocab_size: 200064,
      num_attention_heads: 24,
      num_key_value_heads: 8,
      sliding_window: 262144,
      max_position_embeddings: 131072,
      tie_word_embeddings: true,
    },
  },
  {
    name: "phi-4",
    source: `microsoft/phi-4 config.json; ${litgpt}`,
    published: { total: 14.7e9 },
    config: {
      model_type: "phi3",
      vocab_size: 100352,
      hidden_size: 5120,
      num_hidden_layers: 40,
      num_attention_heads: 40,
      num_key_value_heads: 10,
      intermediate_size: 17920,
      sliding_window: null,
      max_position_embeddings: 16384,
      tie_word_embeddings: false,
    },
  },
];
