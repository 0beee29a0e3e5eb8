import { deepseekV3, latentHeads } from "./deepseek.ts";
import { range } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const aiconfigurator = "checked: aiconfigurator model_configs";

const kimiK2 = {
  ...deepseekV3,
  model_type: "kimi_k2",
  vocab_size: 163840,
  num_attention_heads: 64,
  num_key_value_heads: 64,
  n_routed_experts: 384,
  first_k_dense_replace: 1,
  max_position_embeddings: 131072,
};

/** Layers of a kind, counted from 1 as Kimi's configs do: every fourth and the last are full attention. */
const kimiLayers = (layers: number) => {
  const full = [...range(4, layers, 4), layers];
  return { full_attn_layers: full, kda_layers: range(1, layers).filter((layer) => layer % 4) };
};

/** Models of Moonshot AI, all with Multi-head Latent Attention in some layers. */
export const kimi: readonly Preset[] = [
  {
    name: "moonlight-16b-a3b",
    aliases: ["moonlight"],
    source: "moonshotai/Moonlight-16B-A3B config.json; checked: vllm-project/vime scripts/models/moonlight.sh",
    published: { total: 16e9, active: 3e9 },
    config: {
      ...deepseekV3,
      vocab_size: 163840,
      hidden_size: 2048,
      num_hidden_layers: 27,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      q_lora_rank: null,
      intermediate_size: 11264,
      moe_intermediate_size: 1408,
      n_routed_experts: 64,
      n_shared_experts: 2,
      num_experts_per_tok: 6,
      first_k_dense_replace: 1,
      max_position_embeddings: 8192,
    },
  },
  {
    name: "kimi-k2",
    aliases: ["kimi-k2-instruct", "kimi-k2-base"],
    source: `moonshotai/Kimi-K2-Instruct config.json; ${aiconfigurator}`,
    published: { total: 1e12, active: 32e9 },
    differs: "published rounded to whole trillions",
    config: kimiK2,
  },
  {
    name: "kimi-k2.5",
    aliases: ["kimi-k2.6", "kimi-k2.7", "kimi-k2-thinking"],
    source: `moonshotai/Kimi-K2.5 config.json; ${aiconfigurator}`,
    published: { total: 1e12, active: 32e9 },
    differs: "published rounded to whole trillions; the vision tower is not counted",
    config: { model_type: "kimi_k25", text_config: { ...kimiK2, max_position_embeddings: 262144 } },
  },
  {
    name: "kimi-linear-48b-a3b",
    aliases: ["kimi-linear"],
    source: "moonshotai/Kimi-Linear-48B-A3B-Instruct config.json; checked: copies of it in tests of public loaders",
    published: { total: 48e9, active: 3e9 },
    differs: "48.4 billion without the tables of the vocabulary",
    config: {
      model_type: "kimi_linear",
      vocab_size: 163840,
      hidden_size: 2304,
      num_hidden_layers: 27,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      q_lora_rank: null,
      ...latentHeads,
      mla_use_nope: true,
      intermediate_size: 9216,
      moe_intermediate_size: 1024,
      num_experts: 256,
      num_shared_experts: 1,
      num_experts_per_token: 8,
      first_k_dense_replace: 1,
      moe_layer_freq: 1,
      linear_attn_config: { ...kimiLayers(27), num_heads: 32, head_dim: 128, short_conv_kernel_size: 4 },
      model_max_length: 1048576,
      tie_word_embeddings: false,
    },
  },
  {
    name: "kimi-k3",
    source: "moonshotai/Kimi-K3 config.json; checked: copies of it in tests of public loaders",
    published: { total: 2.8e12, active: 104e9 },
    config: {
      model_type: "kimi_k3",
      text_config: {
        model_type: "kimi_linear",
        vocab_size: 163840,
        hidden_size: 7168,
        num_hidden_layers: 93,
        num_attention_heads: 96,
        num_key_value_heads: 96,
        q_lora_rank: 1536,
        ...latentHeads,
        mla_use_nope: true,
        mla_use_output_gate: true,
        intermediate_size: 33792,
        moe_intermediate_size: 3072,
        routed_expert_hidden_size: 3584,
        latent_moe_use_norm: true,
        num_experts: 896,
        num_shared_experts: 2,
        num_experts_per_token: 16,
        first_k_dense_replace: 1,
        moe_layer_freq: 1,
        linear_attn_config: {
          ...kimiLayers(93),
          num_heads: 96,
          head_dim: 128,
          short_conv_kernel_size: 4,
          use_full_rank_gate: true,
        },
        max_position_embeddings: 1048576,
        tie_word_embeddings: false,
      },
    },
  },
];
