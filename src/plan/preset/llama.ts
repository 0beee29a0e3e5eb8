import type { Preset } from "./preset.ts";

const llama31 = {
  model_type: "llama",
  vocab_size: 128256,
  num_key_value_heads: 8,
  max_position_embeddings: 131072,
  tie_word_embeddings: false,
};

/** Llama and models of its shape. */
export const llama: readonly Preset[] = [
  {
    name: "llama-2-7b",
    source: "meta-llama/Llama-2-7b-hf config.json",
    config: {
      model_type: "llama",
      vocab_size: 32000,
      hidden_size: 4096,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      intermediate_size: 11008,
      max_position_embeddings: 4096,
      tie_word_embeddings: false,
    },
  },
  {
    name: "llama-3.1-8b",
    source: "meta-llama/Llama-3.1-8B config.json",
    config: {
      ...llama31,
      hidden_size: 4096,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      intermediate_size: 14336,
    },
  },
  {
    name: "llama-3.1-70b",
    aliases: ["llama-3.3-70b"],
    source: "meta-llama/Llama-3.1-70B config.json",
    config: {
      ...llama31,
      hidden_size: 8192,
      num_hidden_layers: 80,
      num_attention_heads: 64,
      intermediate_size: 28672,
    },
  },
  {
    name: "mistral-7b",
    source: "mistralai/Mistral-7B-v0.1 config.json",
    config: {
      model_type: "mistral",
      vocab_size: 32000,
      hidden_size: 4096,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      intermediate_size: 14336,
      sliding_window: 4096,
      max_position_embeddings: 32768,
      tie_word_embeddings: false,
    },
  },
];
