import { nextTokens, nextWindowed } from "../draft.ts";
import { gemma3nAt, gemma3nFeed, gemma4At, gemma4Feed, gemmaExtra, gemmaTables } from "../gemma.ts";
import { blocksAt } from "../indexed.ts";
import { ernieFeed, inkling, inklingAt, inklingFeed, nextInkling } from "../inkling.ts";
import * as library from "../library.ts";
import { factorizedAt, hybridAt, sharingAt } from "../particular.ts";
import * as rename from "../rename.ts";
import type { Settings } from "../settings.ts";
import { type Architecture, grouped, tied, unwindowed } from "./row.ts";

const headBias = (s: Settings) => s.vocab_size;

/** GPT-2 and its kin: norms and matrices with biases, MLPs without a gate. */
const classic = { norm: 2, matrices: 2, rename: rename.expanded } as const;
const biased = { attention_bias: true, mlp_bias: true };

const gemma3 = {
  ...tied,
  vocab_size: 262_208,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  sliding_window: 4096,
  sliding_window_pattern: 6,
  max_position_embeddings: 131_072,
};
const gemma4 = grouped({
  rename: library.gemma4,
  attention: gemma4At,
  feed: gemma4Feed,
  extra: gemmaExtra,
  tables: gemmaTables,
  norms: 4,
  qkNorm: "head",
  defaults: { ...tied, head_dim: 256, sliding_window: 512, sliding_window_pattern: 6 },
});
const qwen2 = grouped({ bias: "inputs", defaults: { attention_bias: true, ...unwindowed } });
const qwen3 = grouped({ qkNorm: "head", defaults: { head_dim: 128, ...unwindowed } });
const qwen3Moe = grouped({ qkNorm: "head", defaults: unwindowed });

const minimaxThird = grouped({
  attention: blocksAt,
  qkNorm: "head",
  correction: true,
  draft: nextTokens,
  rename: rename.minimaxThird,
});

const inklingRow = grouped({
  attention: inklingAt,
  feed: inklingFeed,
  draft: nextInkling,
  qkNorm: "head",
  unrotated: true,
  rename: inkling,
  // The embedding is normed.
  extra: (s) => s.hidden_size,
});

/** Grouped heads, by `model_type`. */
export const groupedRows: Readonly<Record<string, Architecture>> = {
  // Grouped heads, a gated MLP, two RMS norms.
  llama: grouped(),
  mistral: grouped(),
  ministral: grouped(),
  ministral3: grouped(),
  mixtral: grouped(),
  minicpm: grouped({ defaults: tied }),
  seed_oss: grouped({ bias: "inputs" }),
  exaone: grouped(),
  exaone4: grouped({ qkNorm: "head" }),
  granite: grouped(),
  granitemoe: grouped(),
  granitemoeshared: grouped(),
  smollm3: grouped({ defaults: { ...tied, ...unwindowed } }),
  ernie4_5: grouped({ defaults: tied }),
  ernie4_5_moe: grouped({ correction: true, defaults: tied }),
  ernie4_5_vl_moe_text: grouped({ feed: ernieFeed, defaults: tied }),
  deepseek_ocr2_text: grouped(),
  hunyuan: grouped({ attention: sharingAt, qkNorm: "head", qkNormOptional: true, defaults: tied }),
  hunyuan_v1_dense: grouped({ qkNorm: "head", defaults: tied }),
  hunyuan_v1_moe: grouped({ qkNorm: "head", defaults: { ...tied, n_shared_experts: 1 } }),
  internlm2: grouped(),
  internlm3: grouped({ bias: "inputs" }),
  baichuan: grouped(),
  phi3: grouped(),
  qwen2,
  mimo: qwen2,
  qwen2_vl: qwen2,
  qwen2_vl_text: qwen2,
  qwen2_5_vl: qwen2,
  qwen2_5_vl_text: qwen2,
  qwen2_moe: grouped({
    bias: "inputs",
    sharedGate: true,
    defaults: { attention_bias: true, ...unwindowed, shared_expert_intermediate_size: 5632 },
  }),
  qwen3,
  qwen3_vl_text: qwen3,
  qwen3_moe: qwen3Moe,
  qwen3_vl_moe_text: qwen3Moe,
  olmo: grouped({ norm: 0 }),
  olmo2: grouped({ qkNorm: "whole" }),
  olmo3: grouped({ qkNorm: "whole", defaults: { sliding_window: 4096, sliding_window_pattern: 4 } }),
  olmoe: grouped({ qkNorm: "whole" }),
  glm: grouped({ bias: "inputs" }),
  glm4: grouped({ bias: "inputs", norms: 4 }),
  chatglm: grouped({ bias: "inputs", rename: rename.chatglm }),
  glm4_moe: grouped({
    bias: "inputs",
    qkNorm: "head",
    qkNormOptional: true,
    correction: true,
    draft: nextTokens,
  }),
  dots1: grouped({ qkNorm: "head", correction: true }),
  minimax_m2: grouped({ qkNorm: "whole", correction: true, draft: nextTokens }),
  gpt_oss: grouped({
    sinks: true,
    routerBias: true,
    expertBias: true,
    defaults: { attention_bias: true, sliding_window: 128, sliding_window_pattern: 2, head_dim: 64 },
  }),
  minimax_m3: minimaxThird,
  minimax_m3_vl: minimaxThird,
  minimax_m3_vl_text: minimaxThird,
  bailing_moe: grouped(),
  bailing_moe_v2: grouped({ correction: true, qkNorm: "head", qkNormOptional: true, draft: nextTokens }),
  inkling_text: inklingRow,
  inkling_mm_model: inklingRow,
  llama4_text: grouped({ rename: rename.llama4 }),
  dbrx: grouped({ rename: rename.dbrx }),
  mimo_v2_flash: grouped({ rename: library.mimo, attention: hybridAt, correction: true, draft: nextWindowed }),
  step3_text: grouped({ attention: factorizedAt, rename: rename.step3 }),
  // Others in norms, biases and MLPs.
  gemma: grouped({ defaults: { ...tied, head_dim: 256 } }),
  gemma2: grouped({ norms: 4, defaults: { ...tied, head_dim: 256, sliding_window: 4096, sliding_window_pattern: 2 } }),
  gemma3_text: grouped({ norms: 4, qkNorm: "head", defaults: gemma3 }),
  gemma3n_text: grouped({
    attention: gemma3nAt,
    feed: gemma3nFeed,
    extra: gemmaExtra,
    tables: gemmaTables,
    norms: 4,
    qkNorm: "head",
    defaults: { ...tied, head_dim: 256, sliding_window: 512, sliding_window_pattern: 5 },
  }),
  gemma4_text: gemma4,
  gemma4_unified_text: gemma4,
  cohere: grouped({ norms: 1, qkNorm: "each", qkNormOptional: true, defaults: tied }),
  cohere2: grouped({ norms: 1, defaults: { ...tied, sliding_window: 4096, sliding_window_pattern: 4 } }),
  stablelm: grouped({ norm: 2, norms: rename.parallelNorms, bias: "inputs", qkNorm: "each", qkNormOptional: true }),
  phimoe: grouped({ norm: 2, extra: (s, { lm_head_bias }) => (lm_head_bias ? s.vocab_size : 0) }),
  nemotron: grouped({ norm: 2, matrices: 2 }),
  starcoder2: grouped({ norm: 2, matrices: 2, defaults: { ...tied, ...biased } }),
  phi: grouped({ ...classic, norms: 1, extra: headBias, rename: rename.phi }),
  gpt_neox: grouped({ ...classic, defaults: biased }),
  gptj: grouped({ ...classic, norms: 1, extra: headBias, defaults: { mlp_bias: true } }),
  gpt2: grouped({
    ...classic,
    unrotated: true,
    defaults: { ...tied, ...biased },
    extra: (s) => (s.max_position_embeddings ?? 1024) * s.hidden_size,
  }),
  opt: grouped({
    ...classic,
    rename: rename.opt,
    unrotated: true,
    defaults: { ...tied, ...biased },
    // Two positions more than it is trained for.
    extra: (s) => ((s.max_position_embeddings ?? 2048) + 2) * s.hidden_size,
  }),
  bloom: grouped({
    ...classic,
    unrotated: true,
    defaults: { ...tied, ...biased },
    // A norm of the embeddings.
    extra: (s) => 2 * s.hidden_size,
  }),
  mpt: grouped({ matrices: 2, unrotated: true, rename: rename.mpt, defaults: tied }),
  falcon: grouped({ ...classic, norms: rename.falconNorms, rename: rename.falcon, defaults: tied }),
};
