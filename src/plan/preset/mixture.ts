import { repeated, stepped } from "./pattern.ts";
import type { Preset } from "./preset.ts";

const transformers = "checked: huggingface/transformers configuration";
const gptOss = {
  ...{ model_type: "gpt_oss", vocab_size: 201088, hidden_size: 2880, num_attention_heads: 64, num_key_value_heads: 8 },
  ...{ head_dim: 64, intermediate_size: 2880, num_experts_per_tok: 4, sliding_window: 128, attention_bias: true },
  ...{ max_position_embeddings: 131072, tie_word_embeddings: false },
};
const alternating = (layers: number) => repeated(layers, "sliding_attention", "full_attention");
const glm4Moe = {
  ...{ model_type: "glm4_moe", vocab_size: 151552, num_attention_heads: 96, num_key_value_heads: 8, head_dim: 128 },
  ...{ n_shared_experts: 1, num_experts_per_tok: 8, attention_bias: true, max_position_embeddings: 131072 },
  tie_word_embeddings: false,
};
const glm45 = {
  ...{ ...glm4Moe, hidden_size: 5120, num_hidden_layers: 92, intermediate_size: 12288, moe_intermediate_size: 1536 },
  ...{ n_routed_experts: 160, first_k_dense_replace: 3, use_qk_norm: true },
};

/** Mixtures of experts of other publishers. */
export const mixtures: readonly Preset[] = [
  {
    name: "gpt-oss-20b",
    source: "openai/gpt-oss-20b config.json; checked: vllm-project/vime scripts/models/gpt-oss-20B.sh",
    published: { total: 20.9e9, active: 3.6e9 },
    config: { ...gptOss, num_hidden_layers: 24, num_local_experts: 32, layer_types: alternating(24) },
  },
  {
    name: "gpt-oss-120b",
    source: `openai/gpt-oss-120b config.json; ${transformers}_gpt_oss.py`,
    published: { total: 116.8e9, active: 5.1e9 },
    config: { ...gptOss, num_hidden_layers: 36, num_local_experts: 128, layer_types: alternating(36) },
  },
  {
    name: "glm-4.5-air",
    source: `zai-org/GLM-4.5-Air config.json; checked: vllm-project/vime scripts/models/glm4.5-106B-A12B.sh`,
    published: { total: 106e9, active: 12e9 },
    config: {
      ...{ ...glm4Moe, hidden_size: 4096, num_hidden_layers: 46, intermediate_size: 10944 },
      ...{ moe_intermediate_size: 1408, n_routed_experts: 128, first_k_dense_replace: 1, use_qk_norm: false },
    },
  },
  {
    name: "glm-4.5",
    source: "zai-org/GLM-4.5 config.json, the sizes of GLM-4.7; checked: aiconfigurator model_configs",
    published: { total: 355e9, active: 32e9 },
    config: glm45,
  },
  {
    name: "glm-4.7",
    aliases: ["glm-4.6"],
    source: "zai-org/GLM-4.7-FP8 config.json; checked: aiconfigurator model_configs",
    published: { total: 355e9, active: 32e9 },
    config: { ...glm45, max_position_embeddings: 202752 },
  },
  {
    name: "minimax-m1",
    aliases: ["minimax-text-01"],
    source: "MiniMaxAI/MiniMax-M1-80k config.json; checked: copies of it in PaddlePaddle/FastDeploy tests",
    published: { total: 456e9, active: 45.9e9 },
    config: {
      ...{ model_type: "minimax_m1", vocab_size: 200064, hidden_size: 6144, num_hidden_layers: 80 },
      ...{ num_attention_heads: 64, num_key_value_heads: 8, head_dim: 128, intermediate_size: 9216 },
      ...{ num_local_experts: 32, num_experts_per_tok: 2, attn_type_list: repeated(80, ...repeated(7, 0), 1) },
      ...{ max_position_embeddings: 10240000, tie_word_embeddings: false },
    },
  },
  {
    name: "minimax-m2",
    aliases: ["minimax-m2.1", "minimax-m2.5"],
    source: `MiniMaxAI/MiniMax-M2 config.json; ${transformers}_minimax_m2.py`,
    published: { total: 229e9, active: 10e9 },
    config: {
      ...{ model_type: "minimax_m2", vocab_size: 200064, hidden_size: 3072, num_hidden_layers: 62 },
      ...{ num_attention_heads: 48, num_key_value_heads: 8, head_dim: 128, intermediate_size: 1536 },
      ...{ num_local_experts: 256, num_experts_per_tok: 8, use_qk_norm: true, qk_norm_type: "per_layer" },
      ...{ max_position_embeddings: 196608, tie_word_embeddings: false },
    },
  },
  {
    name: "step-3",
    aliases: ["step3"],
    source: "stepfun-ai/step3 config.json; checked: vLLM transformers_utils/configs/step3_vl.py",
    published: { total: 316e9, active: 38e9 },
    config: {
      model_type: "step3_vl",
      text_config: {
        ...{ model_type: "step3_text", vocab_size: 128815, hidden_size: 7168, num_hidden_layers: 61 },
        ...{ num_attention_heads: 64, num_attention_groups: 1, head_dim: 256, share_q_dim: 2048 },
        ...{ intermediate_size: 18432, moe_intermediate_size: 5120, share_expert_dim: 5120 },
        ...{ moe_num_experts: 48, moe_top_k: 3, moe_layers_enum: stepped(4, 60).join(","), max_seq_len: 65536 },
      },
    },
  },
  {
    name: "mimo-v2-flash",
    source: "XiaomiMiMo/MiMo-V2-Flash config.json; checked: a copy of it in tests of a public loader",
    published: { total: 309e9, active: 15e9 },
    config: {
      ...{ model_type: "mimo_v2_flash", vocab_size: 152576, hidden_size: 4096, num_hidden_layers: 48 },
      ...{ num_attention_heads: 64, num_key_value_heads: 4, head_dim: 192, v_head_dim: 128 },
      ...{ swa_num_attention_heads: 64, swa_num_key_value_heads: 8, swa_head_dim: 192, swa_v_head_dim: 128 },
      ...{ sliding_window: 128, hybrid_layer_pattern: stepped(0, 48).map((i) => (i && (i + 1) % 6 ? 1 : 0)) },
      ...{ intermediate_size: 16384, moe_intermediate_size: 2048, n_routed_experts: 256, num_experts_per_tok: 8 },
      ...{ moe_layer_freq: [0, ...repeated(47, 1)], max_position_embeddings: 262144, tie_word_embeddings: false },
    },
  },
];
