import { deepseekV3, latentHeads } from "./deepseek.ts";
import { stepped } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const aiconfigurator = "checked: aiconfigurator model_configs";
const transformers = "checked: huggingface/transformers configuration";

const kimiK2 = {
  ...deepseekV3,
  ...{ model_type: "kimi_k2", vocab_size: 163840, num_attention_heads: 64, num_key_value_heads: 64 },
  ...{ n_routed_experts: 384, first_k_dense_replace: 1, max_position_embeddings: 131072 },
};

const glm5 = {
  ...{ model_type: "glm_moe_dsa", vocab_size: 154880, hidden_size: 6144, num_hidden_layers: 78 },
  ...{ num_attention_heads: 64, num_key_value_heads: 64, q_lora_rank: 2048, kv_lora_rank: 512 },
  ...{ qk_nope_head_dim: 192, qk_rope_head_dim: 64, v_head_dim: 256 },
  ...{ intermediate_size: 12288, moe_intermediate_size: 2048, n_routed_experts: 256, n_shared_experts: 1 },
  ...{ num_experts_per_tok: 8, first_k_dense_replace: 3, moe_layer_freq: 1 },
  ...{ index_n_heads: 32, index_head_dim: 128, index_topk: 2048 },
  ...{ max_position_embeddings: 202752, tie_word_embeddings: false },
};

/** Layers of a kind, counted from 1 as Kimi's configs do: every fourth and the last are full attention. */
const kimiLayers = (layers: number) => {
  const full = [...stepped(4, layers, 4), layers];
  return { full_attn_layers: full, kda_layers: stepped(1, layers).filter((layer) => layer % 4) };
};

/** Models of other publishers with Multi-head Latent Attention. */
export const latent: readonly Preset[] = [
  {
    name: "minicpm3-4b",
    source: "openbmb/MiniCPM3-4B config.json; checked: copies in tests of two MLX ports",
    published: { total: 4.07e9 },
    config: {
      ...{ model_type: "minicpm3", vocab_size: 73448, hidden_size: 2560, num_hidden_layers: 62 },
      ...{ num_attention_heads: 40, num_key_value_heads: 40, q_lora_rank: 768, kv_lora_rank: 256 },
      ...{ qk_nope_head_dim: 64, qk_rope_head_dim: 32, v_head_dim: 64, intermediate_size: 6400 },
      ...{ max_position_embeddings: 32768, tie_word_embeddings: true },
    },
  },
  {
    name: "youtu-llm-2b",
    source: `tencent/Youtu-LLM-2B config.json; ${transformers}_youtu.py`,
    published: { total: 1.96e9 },
    config: {
      ...{ model_type: "youtu", vocab_size: 128256, hidden_size: 2048, num_hidden_layers: 32 },
      ...{ num_attention_heads: 16, num_key_value_heads: 16, q_lora_rank: 1536, ...latentHeads },
      ...{ intermediate_size: 6144, max_position_embeddings: 131072, tie_word_embeddings: true },
    },
  },
  {
    name: "plm-1.8b",
    source: "PLM-Team/PLM-1.8B-Base; checked: Ascend/MindSpeed-LLM pretrain_plm_1point8b_ptd.sh, llama.cpp plm.cpp",
    published: { total: 1.83e9 },
    config: {
      ...{ model_type: "plm", vocab_size: 151936, hidden_size: 2048, num_hidden_layers: 32 },
      ...{ num_attention_heads: 16, num_key_value_heads: 16, q_lora_rank: null, ...latentHeads },
      ...{ intermediate_size: 8192, hidden_act: "relu2", max_position_embeddings: 4096, tie_word_embeddings: true },
    },
  },
  {
    name: "moonlight-16b-a3b",
    aliases: ["moonlight"],
    source: "moonshotai/Moonlight-16B-A3B config.json; checked: vllm-project/vime scripts/models/moonlight.sh",
    published: { total: 16e9, active: 3e9 },
    config: {
      ...deepseekV3,
      ...{ vocab_size: 163840, hidden_size: 2048, num_hidden_layers: 27, num_attention_heads: 16 },
      ...{ num_key_value_heads: 16, q_lora_rank: null, intermediate_size: 11264, moe_intermediate_size: 1408 },
      ...{ n_routed_experts: 64, n_shared_experts: 2, num_experts_per_tok: 6, first_k_dense_replace: 1 },
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
      ...{ model_type: "kimi_linear", vocab_size: 163840, hidden_size: 2304, num_hidden_layers: 27 },
      ...{ num_attention_heads: 32, num_key_value_heads: 32, q_lora_rank: null, ...latentHeads, mla_use_nope: true },
      ...{ intermediate_size: 9216, moe_intermediate_size: 1024, num_experts: 256, num_shared_experts: 1 },
      ...{ num_experts_per_token: 8, first_k_dense_replace: 1, moe_layer_freq: 1 },
      linear_attn_config: { ...kimiLayers(27), num_heads: 32, head_dim: 128, short_conv_kernel_size: 4 },
      ...{ model_max_length: 1048576, tie_word_embeddings: false },
    },
  },
  {
    name: "kimi-k3",
    source: "moonshotai/Kimi-K3 config.json; checked: copies of it in tests of public loaders",
    published: { total: 2.8e12, active: 104e9 },
    config: {
      model_type: "kimi_k3",
      text_config: {
        ...{ model_type: "kimi_linear", vocab_size: 163840, hidden_size: 7168, num_hidden_layers: 93 },
        ...{ num_attention_heads: 96, num_key_value_heads: 96, q_lora_rank: 1536, ...latentHeads },
        ...{ mla_use_nope: true, mla_use_output_gate: true, intermediate_size: 33792, moe_intermediate_size: 3072 },
        ...{ routed_expert_hidden_size: 3584, latent_moe_use_norm: true, num_experts: 896, num_shared_experts: 2 },
        ...{ num_experts_per_token: 16, first_k_dense_replace: 1, moe_layer_freq: 1 },
        linear_attn_config: {
          ...kimiLayers(93),
          ...{ num_heads: 96, head_dim: 128, short_conv_kernel_size: 4, use_full_rank_gate: true },
        },
        ...{ max_position_embeddings: 1048576, tie_word_embeddings: false },
      },
    },
  },
  {
    name: "glm-4.7-flash",
    source: `zai-org/GLM-4.7-Flash config.json; ${aiconfigurator}`,
    published: { total: 30e9, active: 3e9 },
    config: {
      ...{ model_type: "glm4_moe_lite", vocab_size: 154880, hidden_size: 2048, num_hidden_layers: 47 },
      ...{ num_attention_heads: 20, num_key_value_heads: 20, q_lora_rank: 768, kv_lora_rank: 512 },
      ...{ qk_nope_head_dim: 192, qk_rope_head_dim: 64, v_head_dim: 256 },
      ...{ intermediate_size: 10240, moe_intermediate_size: 1536, n_routed_experts: 64, n_shared_experts: 1 },
      ...{ num_experts_per_tok: 4, first_k_dense_replace: 1 },
      ...{ max_position_embeddings: 202752, tie_word_embeddings: false },
    },
  },
  {
    name: "glm-5",
    aliases: ["glm-5.1"],
    source: `zai-org/GLM-5 config.json; ${aiconfigurator}, ${transformers.slice(9)}_glm_moe_dsa.py`,
    published: { total: 744e9, active: 40e9 },
    config: glm5,
  },
  {
    name: "glm-5.2",
    source: "zai-org/GLM-5.2 config.json; checked: copies of it in tests of public loaders",
    published: { total: 744e9, active: 40e9 },
    config: {
      ...glm5,
      // After the first three layers, one indexer serves four.
      ...{ index_topk_freq: 4, index_skip_topk_offset: 3 },
      indexer_types: stepped(0, 78).map((i) => (i < 3 || (i - 2) % 4 === 0 ? "full" : "shared")),
      max_position_embeddings: 1048576,
    },
  },
  {
    name: "longcat-flash",
    aliases: ["longcat-flash-chat"],
    source: `meituan-longcat/LongCat-Flash-Chat config.json; ${transformers}_longcat_flash.py`,
    published: { total: 560e9, active: 27e9 },
    config: {
      ...{ model_type: "longcat_flash", vocab_size: 131072, hidden_size: 6144, num_layers: 28 },
      ...{ num_attention_heads: 64, q_lora_rank: 1536, ...latentHeads },
      ...{ ffn_hidden_size: 12288, expert_ffn_hidden_size: 2048, n_routed_experts: 512, zero_expert_num: 256 },
      ...{ moe_topk: 12, max_position_embeddings: 131072, tie_word_embeddings: false },
    },
  },
  {
    name: "mistral-small-4",
    source: `mistralai/Mistral-Small-4-119B-2603 config.json; ${transformers}_mistral4.py`,
    published: { total: 119e9, active: 6.5e9 },
    config: {
      ...{ model_type: "mistral4", vocab_size: 131072, hidden_size: 4096, num_hidden_layers: 36 },
      ...{ num_attention_heads: 32, num_key_value_heads: 32, q_lora_rank: 1024, kv_lora_rank: 256 },
      ...{ qk_nope_head_dim: 64, qk_rope_head_dim: 64, v_head_dim: 128 },
      ...{ intermediate_size: 12288, moe_intermediate_size: 2048, n_routed_experts: 128, n_shared_experts: 1 },
      ...{ num_experts_per_tok: 4, first_k_dense_replace: 0 },
      ...{ max_position_embeddings: 1048576, tie_word_embeddings: false },
    },
  },
  {
    name: "mistral-large-3",
    source:
      "mistralai/Mistral-Large-3-675B-Instruct-2512 params.json under DeepSeek-V3's names; checked: copies in tests of TensorRT-LLM and Unsloth",
    published: { total: 673e9, active: 39e9 },
    config: {
      ...deepseekV3,
      ...{ vocab_size: 131072, intermediate_size: 16384, moe_intermediate_size: 4096, n_routed_experts: 128 },
      ...{ num_experts_per_tok: 4, max_position_embeddings: 294912 },
    },
  },
  {
    name: "a.x-k1",
    aliases: ["ax-k1"],
    source: `skt/A.X-K1 config.json; ${transformers}_axk1.py`,
    published: { total: 519e9, active: 33e9 },
    config: {
      ...deepseekV3,
      ...{ model_type: "axk1", vocab_size: 163840, num_attention_heads: 64, num_key_value_heads: 64 },
      ...{ n_routed_experts: 192, first_k_dense_replace: 1, max_position_embeddings: 32768 },
    },
  },
  {
    name: "joyai-llm-flash",
    source:
      "jdopensource/JoyAI-LLM-Flash model card, ranks from its config.json; from memory: the width 7168 of its one dense layer",
    published: { total: 48e9, active: 2.7e9 },
    differs: "48.4 billion without the tables of the vocabulary",
    config: {
      ...deepseekV3,
      ...{ hidden_size: 2048, num_hidden_layers: 40, num_attention_heads: 32, num_key_value_heads: 32 },
      ...{ intermediate_size: 7168, moe_intermediate_size: 768, first_k_dense_replace: 1 },
      max_position_embeddings: 131072,
    },
  },
];
