import { expect, test } from "vitest";
import { type Blueprint, countParameters } from "../src/cost/blueprint.ts";
import { cacheBytes, formsOf, stateBytes, stepFlops, waysOf } from "../src/cost/cost.ts";
import { presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { decides } from "../src/plan/read/ledger.ts";
import { FormatError } from "../src/tensor/error.ts";

/** Keys that configs of 2026 have and that change what is kept or what a token attends to, each with a value that does. */
const deciding: Readonly<Record<string, unknown>> = {
  kv_lora_rank: 24,
  q_lora_rank: 24,
  o_lora_rank: 24,
  o_groups: 2,
  qk_nope_head_dim: 24,
  global_head_dim: 24,
  swa_head_dim: 24,
  swa_num_key_value_heads: 2,
  sliding_window: 17,
  sliding_window_size: 17,
  window_size: 17,
  attention_chunk_size: 17,
  sliding_window_pattern: 3,
  global_attn_every_n_layers: 3,
  layer_types: ["brand_new_attention"],
  layers_block_type: ["mamba"],
  hybrid_override_pattern: "M*M*",
  block_configs: [{ attention: { no_op: true } }],
  attn_type_list: [0, 1],
  attn_layer_period: 3,
  full_attention_interval: 3,
  layer_group_size: 3,
  linear_attn_config: { num_heads: 2, head_dim: 8, kda_layers: [1] },
  linear_num_value_heads: 4,
  mamba_d_state: 16,
  ssm_state_size: 16,
  short_conv_kernel_size: 4,
  conv_L_cache: 3,
  kda_lower_bound: -5,
  num_kv_shared_layers: 1,
  kv_source_layer_ids: [0],
  index_source_layer_ids: [0],
  cla_share_factor: 2,
  compress_ratios: [4],
  compress_rates: { brand_new: 4 },
  index_topk: 24,
  index_head_dim: 24,
  index_n_heads: 2,
  index_kpool: 4,
  indexer_types: ["shared"],
  indexer_compress_ratio: 4,
  sparse_attention_config: { sparse_index_dim: 24 },
  nsa_block_size: 32,
  moba_topk: 3,
  num_kv_heads_per_layer: [1],
  num_self_decoder_layers: 2,
  engram_layer_ids: [0],
  ple_layer_ids: [1],
  hidden_size_per_layer_input: 24,
  hc_mult: 4,
  differential_attention: true,
  attention_k_eq_v: true,
  total_ut_steps: 4,
  num_loops: 4,
  mean_recurrence: 32,
  num_meta_tokens: 128,
  num_sink_tokens: 4,
  num_memory_tokens: 16,
  memory_size: 100,
  cache_sharing: 2,
  cache_budget: 1024,
  cache_merge_layers: [1, 2],
  use_yoco: true,
  attention_sink_size: 4,
  reuse_layers: [[1, 2]],
  mirror_layers: 3,
};

/** A figure that a plan would give from a blueprint: what is kept, computed and stored. */
function figuresOf(blueprint: Blueprint): string {
  const caches = formsOf(blueprint).map((form) => [1, 100, 5000].map((n) => cacheBytes(blueprint, form, "float16", n)));
  const flops = stepFlops(blueprint, waysOf(blueprint)[0]!, { t: 3, s: 5000 });
  return JSON.stringify([caches, stateBytes(blueprint), countParameters(blueprint), flops]);
}

/** One config for each model_type that presets have, as the language model's own. */
const configs = new Map(
  presets.map(({ config }) => {
    const own = (config.text_config as typeof config | undefined) ?? config;
    return [String(own.model_type ?? config.model_type), { model_type: config.model_type, ...own }] as const;
  }),
);

/** Keys that a reader looks at and that change nothing there, with the reason, and where. */
const idle: Readonly<Record<string, readonly [reason: string, where: RegExp]>> = {
  sliding_window_pattern: ["it says which layers have a window, and there is none", /./],
  sliding_window: [
    "use_sliding_window is false unless a config says otherwise, and chunks are no windows",
    /^(qwen|mimo$|smollm|llama4)/,
  ],
  full_attention_interval: ["layer_types say it for each layer", /^qwen4_exp/],
  index_head_dim: ["sparse_attention_config says it", /^minimax_m3/],
  index_n_heads: ["sparse_attention_config says it", /^minimax_m3/],
  ssm_state_size: ["mamba_d_state says it", /^(granitemoehybrid|bamba|falcon_h1)$/],
  compress_rates: ["compress_ratios say it for each layer", /^deepseek_v4$/],
};

test("every key that decides is known for one", () => {
  for (const key of Object.keys(deciding)) expect([key, decides(key)]).toEqual([key, true]);
});

test.each([...configs])("%s: a key that decides changes the plan or is refused by its name", (type, config) => {
  const figures = figuresOf(blueprintOfConfig(config, "x"));
  const passed: string[] = [];
  for (const [key, value] of Object.entries(deciding)) {
    if ((config as Record<string, unknown>)[key] !== undefined) continue;
    try {
      if (figuresOf(blueprintOfConfig({ ...config, [key]: value }, "x")) === figures) passed.push(key);
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
    }
  }
  expect(passed.filter((key) => !idle[key]?.[1].test(type))).toEqual([]);
});
