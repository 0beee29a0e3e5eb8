import { repeat } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const litgpt = "checked: litgpt config.py";

const gemma1 = { model_type: "gemma", vocab_size: 256000, head_dim: 256, max_position_embeddings: 8192 };
/** Every second layer has a window. */
const gemma2 = { ...gemma1, model_type: "gemma2", sliding_window: 4096, sliding_window_pattern: 2 };
/** Five layers of six have a window. */
const gemma3 = {
  model_type: "gemma3_text",
  vocab_size: 262208,
  head_dim: 256,
  sliding_window: 1024,
  sliding_window_pattern: 6,
  max_position_embeddings: 131072,
};
const inGemma3 = (text: object) => ({ model_type: "gemma3", text_config: { ...gemma3, ...text } });

const fiveOfSix = (layers: number) => repeat(layers, ...repeat(5, "sliding_attention"), "full_attention");
const inGemma4 = (text: object) => ({
  model_type: "gemma4",
  text_config: {
    model_type: "gemma4_text",
    vocab_size: 262144,
    head_dim: 256,
    global_head_dim: 512,
    sliding_window: 1024,
    max_position_embeddings: 262144,
    tie_word_embeddings: true,
    ...text,
  },
});
const vision = "published with a vision tower, which is not counted";

/** Gemma. */
export const gemma: readonly Preset[] = [
  {
    name: "gemma-2b",
    source: `google/gemma-2b config.json; ${litgpt}`,
    published: { total: 2.51e9 },
    config: {
      ...gemma1,
      hidden_size: 2048,
      num_hidden_layers: 18,
      num_attention_heads: 8,
      num_key_value_heads: 1,
      intermediate_size: 16384,
    },
  },
  {
    name: "gemma-7b",
    source: `google/gemma-7b config.json; ${litgpt}`,
    published: { total: 8.54e9 },
    config: {
      ...gemma1,
      hidden_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      intermediate_size: 24576,
    },
  },
  {
    name: "gemma-2-2b",
    source: `google/gemma-2-2b config.json; ${litgpt}`,
    published: { total: 2.61e9 },
    config: {
      ...gemma2,
      hidden_size: 2304,
      num_hidden_layers: 26,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      intermediate_size: 9216,
    },
  },
  {
    name: "gemma-2-9b",
    source: `google/gemma-2-9b config.json; ${litgpt}`,
    published: { total: 9.24e9 },
    config: {
      ...gemma2,
      hidden_size: 3584,
      num_hidden_layers: 42,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      intermediate_size: 14336,
    },
  },
  {
    name: "gemma-2-27b",
    source: `google/gemma-2-27b config.json; ${litgpt}`,
    published: { total: 27.2e9 },
    config: {
      ...gemma2,
      hidden_size: 4608,
      num_hidden_layers: 46,
      num_attention_heads: 32,
      num_key_value_heads: 16,
      head_dim: 128,
      intermediate_size: 36864,
    },
  },
  {
    name: "gemma-3-1b",
    source: `google/gemma-3-1b-it config.json; ${litgpt}`,
    published: { total: 1e9 },
    config: {
      ...gemma3,
      vocab_size: 262144,
      hidden_size: 1152,
      num_hidden_layers: 26,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      intermediate_size: 6912,
      sliding_window: 512,
      max_position_embeddings: 32768,
    },
  },
  {
    name: "gemma-3-4b",
    source: `google/gemma-3-4b-it config.json; ${litgpt}`,
    published: { total: 4.3e9 },
    differs: vision,
    config: inGemma3({
      hidden_size: 2560,
      num_hidden_layers: 34,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      intermediate_size: 10240,
    }),
  },
  {
    name: "gemma-3-12b",
    source: `google/gemma-3-12b-it config.json; ${litgpt}`,
    published: { total: 12.2e9 },
    differs: vision,
    config: inGemma3({
      hidden_size: 3840,
      num_hidden_layers: 48,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      intermediate_size: 15360,
    }),
  },
  {
    name: "gemma-3-27b",
    source: `google/gemma-3-27b-it config.json; ${litgpt}`,
    published: { total: 27.4e9 },
    differs: vision,
    config: inGemma3({
      hidden_size: 5376,
      num_hidden_layers: 62,
      num_attention_heads: 32,
      num_key_value_heads: 16,
      head_dim: 128,
      intermediate_size: 21504,
    }),
  },
  {
    name: "gemma-3n-e4b",
    source: "google/gemma-3n-E4B config.json; checked: huggingface/transformers configuration_gemma3n.py",
    published: { total: 7.8e9 },
    differs: "published with towers for images and sound, which are not counted",
    config: {
      model_type: "gemma3n",
      text_config: {
        model_type: "gemma3n_text",
        vocab_size: 262400,
        vocab_size_per_layer_input: 262144,
        hidden_size: 2048,
        hidden_size_per_layer_input: 256,
        num_hidden_layers: 35,
        num_attention_heads: 8,
        num_key_value_heads: 2,
        head_dim: 256,
        intermediate_size: 16384,
        sliding_window: 512,
        num_kv_shared_layers: 15,
        altup_num_inputs: 4,
        laurel_rank: 64,
        max_position_embeddings: 32768,
        tie_word_embeddings: true,
        layer_types: repeat(35, ...repeat(4, "sliding_attention"), "full_attention"),
      },
    },
  },
  {
    name: "gemma-4-e4b",
    source: "google/gemma-4-E4B-it config.json; checked: copies of it in tests of public loaders",
    published: { total: 8e9 },
    differs: "published with towers for images and sound, which are not counted",
    config: inGemma4({
      hidden_size: 2560,
      num_hidden_layers: 42,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      intermediate_size: 10240,
      sliding_window: 512,
      num_kv_shared_layers: 18,
      attention_k_eq_v: false,
      hidden_size_per_layer_input: 256,
      vocab_size_per_layer_input: 262144,
      max_position_embeddings: 131072,
      layer_types: fiveOfSix(42),
    }),
  },
  {
    name: "gemma-4-26b-a4b",
    source: "google/gemma-4-26B-A4B-it config.json; checked: THUDM/slime scripts/models/gemma4-26B-A4B.sh",
    published: { total: 25.2e9, active: 3.8e9 },
    config: inGemma4({
      hidden_size: 2816,
      num_hidden_layers: 30,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      num_global_key_value_heads: 2,
      attention_k_eq_v: true,
      intermediate_size: 2112,
      enable_moe_block: true,
      num_experts: 128,
      top_k_experts: 8,
      moe_intermediate_size: 704,
      hidden_size_per_layer_input: 0,
      layer_types: fiveOfSix(30),
    }),
  },
  {
    name: "gemma-4-31b",
    source: "google/gemma-4-31B-it config.json; checked: THUDM/slime scripts/models/gemma4-31B.sh",
    published: { total: 30.7e9 },
    config: inGemma4({
      hidden_size: 5376,
      num_hidden_layers: 60,
      num_attention_heads: 32,
      num_key_value_heads: 16,
      num_global_key_value_heads: 4,
      attention_k_eq_v: true,
      intermediate_size: 21504,
      hidden_size_per_layer_input: 0,
      layer_types: fiveOfSix(60),
    }),
  },
];
