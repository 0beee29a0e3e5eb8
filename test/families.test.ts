import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { families, familyOf } from "../src/family/families.ts";
import { scaledRotation } from "../src/family/scaling.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf, modelSize, parametersOf } from "../src/model/model.ts";
import { FormatError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";
import {
  deepseek,
  deepseek3,
  deepseek32,
  glm,
  kimi,
  ling,
  llama,
  llama3,
  longrope,
  minicpm,
  qwen,
  saveCheckpoint,
  yarn,
  youtu,
} from "./fixture/checkpoint.ts";
import { hybridLogits, isHybrid, randomHybrid } from "./fixture/hybrid.ts";
import { LaterDevice } from "./fixture/later.ts";
import { type Json, plainLogits, randomCheckpoint } from "./fixture/plain.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-families-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const ids = [3, 17, 8, 39, 0, 21, 21, 5, 30];

/** Random tensors of a config, and the logits that the loops of plain.ts make of them; the same on every device. */
function plain(config: Json) {
  const [draw, run] = isHybrid(config) ? [randomHybrid, hybridLogits] : [randomCheckpoint, plainLogits];
  const tensors = draw(config, 5);
  return { tensors, expected: run(config, tensors, ids).flat() };
}
const known = new Map<Json, ReturnType<typeof plain>>();

/** Largest difference of any form's logits, prefill of 4 and then one by one, from the loops of plain.ts. */
async function distance(config: Json, device: Device): Promise<number> {
  const { tensors, expected } = known.get(config) ?? plain(config);
  known.set(config, { tensors, expected });
  await saveCheckpoint(dir, config, tensors);
  const { model, weights } = await loadModel(dir, device);
  let worst = 0;
  for (const form of formsOf(model)) {
    const session = new Session(model, weights, { context: ids.length });
    const got: number[] = [];
    for (const chunk of [ids.slice(0, 4), ...ids.slice(4).map((id) => [id])])
      got.push(...(await session.append(Int32Array.from(chunk), { form }).read()));
    expect(got).toHaveLength(expected.length);
    got.forEach((x, i) => {
      worst = Math.max(worst, Number.isNaN(x) ? Number.POSITIVE_INFINITY : Math.abs(x - expected[i]!));
    });
  }
  return worst;
}

const features: [what: string, config: Json][] = [
  ["Llama with grouped heads", llama],
  [
    "Llama with as many keys as heads, an explicit head_dim and tied embeddings",
    { ...llama, num_key_value_heads: null, head_dim: 10, tie_word_embeddings: true },
  ],
  ["Llama with biases everywhere", { ...llama, attention_bias: true, mlp_bias: true }],
  ["Llama with llama3 scaling", { ...llama, rope_theta: 500, rope_scaling: llama3 }],
  ["Llama with linear scaling", { ...llama, rope_scaling: { type: "linear", factor: 4 } }],
  [
    "Llama with YaRN, written as transformers v5 does",
    {
      ...llama,
      rope_theta: undefined,
      rope_parameters: { ...yarn, type: undefined, rope_type: "yarn", rope_theta: 5000 },
    },
  ],
  ["DeepSeek-V2 without query LoRA", deepseek],
  [
    "DeepSeek-V2 with query LoRA, biases and tied embeddings",
    { ...deepseek, q_lora_rank: 9, attention_bias: true, tie_word_embeddings: true },
  ],
  [
    "DeepSeek-V2 with YaRN and two equal mscales",
    { ...deepseek, rope_scaling: { ...yarn, mscale: 0.75, mscale_all_dim: 0.75 } },
  ],
  [
    "DeepSeek-V2 with YaRN and two different mscales",
    { ...deepseek, rope_scaling: { ...yarn, mscale: 1.5, mscale_all_dim: 0.6 } },
  ],
  ["DeepSeek-V2 with YaRN and no mscale", { ...deepseek, rope_scaling: yarn }],
  [
    "DeepSeek-V2 with groups of experts and a routed factor",
    {
      ...deepseek,
      topk_method: "group_limited_greedy",
      n_group: 4,
      topk_group: 2,
      routed_scaling_factor: 2.5,
      norm_topk_prob: true,
    },
  ],
  [
    "DeepSeek-V2 with experts in every second layer and none shared",
    { ...deepseek, first_k_dense_replace: 0, moe_layer_freq: 2, n_shared_experts: null },
  ],
  ["DeepSeek-V2 with dense layers only", { ...deepseek, n_routed_experts: null }],
  ["Qwen3 with an untied head", qwen],
  [
    "Qwen3 with tied embeddings, biases and YaRN without mscale",
    {
      ...qwen,
      tie_word_embeddings: true,
      attention_bias: true,
      rope_scaling: { ...yarn, type: undefined, rope_type: "yarn" },
    },
  ],
  ["DeepSeek-V3 with groups", deepseek3],
  [
    "DeepSeek-V3 with biases, interleaved rotation, one group picked, and its norms' epsilon not the latent's",
    { ...deepseek3, attention_bias: true, topk_group: 1, num_experts_per_tok: 2, rms_norm_eps: 1e-2 },
  ],
  [
    "DeepSeek-V3 in halves, without query LoRA, two different mscales, weights not normalised",
    {
      ...deepseek3,
      q_lora_rank: null,
      rope_interleave: false,
      norm_topk_prob: false,
      rope_scaling: { ...yarn, mscale: 1.5, mscale_all_dim: 0.6 },
    },
  ],
  [
    "Kimi K2: one group of experts",
    {
      ...deepseek3,
      model_type: "kimi_k2",
      n_group: 1,
      topk_group: 1,
      rope_scaling: { ...yarn, mscale: 1, mscale_all_dim: 1 },
    },
  ],
  ["DeepSeek-V3.2", deepseek32],
  [
    "DeepSeek-V3.2 in halves with YaRN",
    { ...deepseek32, rope_interleave: false, rope_scaling: { ...yarn, mscale: 1, mscale_all_dim: 1 } },
  ],
  ["GLM-4.7-Flash", glm],
  [
    "GLM-4.7-Flash with a list of dense layers",
    { ...glm, mlp_layer_types: ["sparse", "dense", "sparse"], rms_norm_eps: 1e-2 },
  ],
  ["Youtu-LLM, tied", youtu],
  [
    "Youtu-LLM under its hub name, untied and with biases",
    { ...youtu, model_type: "youtu_llm", tie_word_embeddings: false, attention_bias: true },
  ],
  ["MiniCPM3, tied", minicpm],
  ["MiniCPM3 with LongRoPE across its border", { ...minicpm, rope_scaling: longrope }],
  [
    "MiniCPM3 with LongRoPE and a factor, explicit v_head_dim, untied",
    { ...minicpm, v_head_dim: 7, tie_word_embeddings: false, rope_scaling: { ...longrope, factor: 1 } },
  ],
  ["Kimi Linear", kimi],
  [
    "Kimi Linear with other heads in KDA, query LoRA, tied, and weights not normalised",
    {
      ...kimi,
      q_lora_rank: 9,
      tie_word_embeddings: true,
      moe_renormalize: false,
      num_shared_experts: null,
      linear_attn_config: {
        kda_layers: [3, 1, 2],
        full_attn_layers: [4],
        num_heads: 3,
        head_dim: 5,
        short_conv_kernel_size: 3,
      },
    },
  ],
  ["Kimi Linear with dense layers only", { ...kimi, num_experts: null, rms_norm_eps: 1e-2 }],
  ["Ling 3", ling],
  [
    "Ling 3 with a gate for each number, gates of KDA through bottlenecks, another bound, no query LoRA, tied",
    {
      ...ling,
      gated_attention_proj_granularity_type: "element_wise",
      no_kda_lora: false,
      kda_lower_bound: -2.5,
      q_lora_rank: null,
      layer_group_size: 2,
      num_hidden_layers: 5,
      tie_word_embeddings: true,
    },
  ],
  [
    "Ling 3 without gates in MLA, told by its KDA keys alone, one expert for each token",
    {
      ...ling,
      architectures: undefined,
      gated_attention_proj_granularity_type: null,
      num_experts_per_tok: 1,
      rms_norm_eps: 1e-2,
      moe_shared_expert_intermediate_size: 3,
      num_shared_experts: 2,
    },
  ],
];

describe("a family computes what its checkpoint's own formulas say", () => {
  test.each(features)("%s, in float64", async (_what, config) => {
    expect(await distance(config, new ReferenceDevice())).toBeLessThan(1e-11);
  });

  describe("in float32", () => {
    let device: WasmDevice;
    beforeAll(async () => {
      device = await WasmDevice.open({ threads: 1 });
    });
    afterAll(() => device.close());

    test.each(features)("%s", async (_what, config) => {
      expect(await distance(config, device)).toBeLessThan(1e-4);
    });
  });
});

const linear = kimi.linear_attn_config as Json;

test.each([
  ["Kimi Linear", kimi],
  ["Ling 3", ling],
])("%s on a device that only enqueues gives the reference's numbers", async (_what, config) => {
  expect(await distance(config, new LaterDevice())).toBeLessThan(1e-11);
});

describe("a config", () => {
  const refused = (config: Json) => {
    try {
      familyOf(config.model_type)!.model(config);
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      return (error as Error).message;
    }
    throw new Error("accepted");
  };

  test.each<[string, Json]>([
    ["hidden_act", { ...llama, hidden_act: "gelu" }],
    ["hidden_size", { ...llama, hidden_size: undefined }],
    ["hidden_size", { ...llama, hidden_size: "24" }],
    ["num_hidden_layers", { ...llama, num_hidden_layers: 1e9 }],
    ["num_hidden_layers", { ...llama, num_hidden_layers: 0 }],
    ["vocab_size", { ...llama, vocab_size: 1.5 }],
    ["num_key_value_heads", { ...llama, num_key_value_heads: 3 }],
    ["head_dim", { ...llama, head_dim: 7 }],
    ["rms_norm_eps", { ...llama, rms_norm_eps: -1 }],
    ["sliding_window", { ...llama, sliding_window: 64 }],
    ["quantization_config", { ...llama, quantization_config: { quant_method: "fp8" } }],
    ["rope_scaling.rope_type", { ...llama, rope_scaling: { rope_type: "dynamic", factor: 2 } }],
    ["rope_scaling.rope_type", { ...llama, rope_scaling: { type: "toString" } }],
    ["rope_scaling.factor", { ...llama, rope_scaling: { type: "linear" } }],
    [
      "rope_scaling.low_freq_factor",
      { ...llama, rope_scaling: { rope_type: "linear", factor: 2, low_freq_factor: 1 } },
    ],
    ["rope_scaling.low_freq_factor", { ...llama, rope_scaling: { ...llama3, low_freq_factor: 4 } }],
    ["rope_scaling and rope_parameters", { ...llama, rope_scaling: yarn, rope_parameters: yarn }],
    ["rope_parameters.partial_rotary_factor", { ...llama, rope_parameters: { partial_rotary_factor: 0.5 } }],
    ["topk_method", { ...deepseek, topk_method: "noaux_tc" }],
    ["scoring_func", { ...deepseek, scoring_func: "sigmoid" }],
    ["mlp_bias", { ...deepseek, mlp_bias: true }],
    ["rope_interleave", { ...deepseek, rope_interleave: false }],
    ["num_key_value_heads", { ...deepseek, num_key_value_heads: 1 }],
    ["qk_rope_head_dim", { ...deepseek, qk_rope_head_dim: 7 }],
    ["num_experts_per_tok", { ...deepseek, num_experts_per_tok: 9 }],
    ["num_experts_per_tok", { ...deepseek, num_experts_per_tok: undefined }],
    ["n_group", { ...deepseek, topk_method: "group_limited_greedy", n_group: 3 }],
    ["topk_group", { ...deepseek, topk_method: "group_limited_greedy", n_group: 2, topk_group: 3 }],
    ["n_routed_experts", { ...deepseek, n_routed_experts: 4096, num_hidden_layers: 512 }],
    ["n_group", { ...deepseek3, n_group: 8 }],
    ["n_group", { ...deepseek3, n_group: undefined }],
    ["topk_method", { ...deepseek3, topk_method: "greedy" }],
    ["scoring_func", { ...deepseek3, scoring_func: "softmax" }],
    ["quantization_config.quant_method", { ...deepseek3, quantization_config: { quant_method: "awq" } }],
    ["index_topk", { ...deepseek32, index_topk: 0 }],
    ["index_topk", { ...deepseek3, index_topk: 3 }],
    ["mlp_layer_types", { ...glm, mlp_layer_types: ["dense"] }],
    ["mlp_layer_types.1", { ...glm, mlp_layer_types: ["dense", "wide", "dense"] }],
    ["v_head_dim", { ...minicpm, hidden_size: 25 }],
    ["scale_emb", { ...minicpm, scale_emb: -1 }],
    ["rope_scaling.long_factor", { ...minicpm, rope_scaling: { ...longrope, long_factor: [1, 2] } }],
    ["rope_scaling.short_factor", { ...minicpm, rope_scaling: { ...longrope, short_factor: undefined } }],
    ["use_sliding_window", { ...qwen, use_sliding_window: true }],
    ["layer_types.1", { ...qwen, layer_types: ["full_attention", "sliding_attention"] }],
    ["n_routed_experts", { ...youtu, n_routed_experts: 8 }],
    ["mla_use_nope", { ...kimi, mla_use_nope: false }],
    ["mla_use_nope", { ...kimi, mla_use_nope: undefined }],
    ["rope_scaling", { ...kimi, rope_scaling: yarn }],
    ["num_expert_group", { ...kimi, num_expert_group: 2 }],
    ["num_experts_per_token", { ...kimi, num_experts_per_token: 9 }],
    ["num_experts_per_token", { ...kimi, num_experts_per_token: null }],
    ["moe_router_activation_func", { ...kimi, moe_router_activation_func: "softmax" }],
    ["attn_res_block_size", { ...kimi, attn_res_block_size: 4 }],
    ["mla_use_output_gate", { ...kimi, mla_use_output_gate: true }],
    ["linear_attn_config", { ...kimi, linear_attn_config: undefined }],
    ["linear_attn_config", { ...kimi, linear_attn_config: { ...linear, kda_layers: [1, 2] } }],
    ["linear_attn_config", { ...kimi, linear_attn_config: { ...linear, full_attn_layers: [3, 4] } }],
    ["linear_attn_config.kda_layers.0", { ...kimi, linear_attn_config: { ...linear, kda_layers: [0, 1, 3] } }],
    ["linear_attn_config.gate_lower_bound", { ...kimi, linear_attn_config: { ...linear, gate_lower_bound: -5 } }],
    [
      "linear_attn_config.short_conv_kernel_size",
      { ...kimi, linear_attn_config: { ...linear, short_conv_kernel_size: 9 } },
    ],
    ["architectures", { ...ling, architectures: ["BailingMoeV2_5ForCausalLM"] }],
    [
      "architectures",
      {
        ...ling,
        architectures: undefined,
        no_kda_lora: undefined,
        kda_safe_gate: undefined,
        kda_lower_bound: undefined,
      },
    ],
    ["linear_attention", { ...ling, linear_attention: "lightning" }],
    ["short_conv_kernel_size", { ...ling, short_conv_kernel_size: undefined }],
    ["layer_group_size", { ...ling, layer_group_size: 0 }],
    ["kda_safe_gate", { ...ling, kda_safe_gate: false }],
    ["kda_lower_bound", { ...ling, kda_lower_bound: 0 }],
    ["kda_lower_bound", { ...ling, kda_lower_bound: -6 }],
    ["kda_lower_bound", { ...ling, kda_lower_bound: null }],
    ["use_kda_lora", { ...ling, use_kda_lora: true }],
    ["rotary_dim", { ...ling, rotary_dim: 6 }],
    ["gated_attention_proj_granularity_type", { ...ling, gated_attention_proj_granularity_type: "row_wise" }],
    ["moe_shared_expert_intermediate_size", { ...ling, moe_shared_expert_intermediate_size: undefined }],
    ["expert_swiglu_limit_list.1", { ...ling, expert_swiglu_limit_list: [null, 7] }],
    ["num_experts", { ...ling, num_experts: 4096, num_hidden_layers: 512 }],
    ["n_group", { ...ling, n_group: 3 }],
    ["norm_topk_prob", { ...ling, norm_topk_prob: false }],
    ["use_mla_nope", { ...ling, use_mla_nope: true }],
    ["n_routed_experts", { ...ling, n_routed_experts: 8 }],
    ["group_norm_size", { ...ling, group_norm_size: 2 }],
    ["num_kv_heads_for_linear_attn", { ...ling, num_kv_heads_for_linear_attn: 2 }],
    ["quantization_config", { ...ling, quantization_config: { quant_method: "fp8" } }],
  ])("that asks for an unknown or impossible %s is refused by that name", (key, config) => {
    const message = refused(config);
    expect(message.startsWith(key)).toBe(true);
    expect(message).toMatch(/: got .+, expected .+; /);
  });

  test("may hold bookkeeping, training settings and keys that are null", () => {
    const more = {
      torch_dtype: "bfloat16",
      transformers_version: "5.0.0",
      use_cache: true,
      _name_or_path: "x",
      bos_token_id: 1,
      attention_dropout: 0,
      initializer_range: 0.02,
      sliding_window: null,
    };
    expect(familyOf("llama")!.model({ ...llama, ...more })).toEqual(familyOf("llama")!.model(llama));
  });

  test("gives a model each of whose parameters has one source", () => {
    for (const [, config] of features) {
      const family = familyOf(config.model_type)!;
      const model = family.model(config);
      const named = parametersOf(model).map(({ name }) => name);
      expect([...family.sources(model, config).keys()].sort()).toEqual(named.sort());
    }
  });

  const v3 = {
    model_type: "deepseek_v3",
    attention_bias: false,
    ep_size: 1,
    moe_layer_freq: 1,
    num_nextn_predict_layers: 1,
    hidden_size: 7168,
    intermediate_size: 18432,
    moe_intermediate_size: 2048,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    num_key_value_heads: 128,
    vocab_size: 129280,
    first_k_dense_replace: 3,
    q_lora_rank: 1536,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    n_routed_experts: 256,
    n_shared_experts: 1,
    num_experts_per_tok: 8,
    n_group: 8,
    topk_group: 4,
    norm_topk_prob: true,
    routed_scaling_factor: 2.5,
    scoring_func: "sigmoid",
    topk_method: "noaux_tc",
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    max_position_embeddings: 163840,
    tie_word_embeddings: false,
    rope_scaling: { ...yarn, original_max_position_embeddings: 4096, mscale: 1, mscale_all_dim: 1 },
    quantization_config: {
      activation_scheme: "dynamic",
      fmt: "e4m3",
      quant_method: "fp8",
      weight_block_size: [128, 128],
    },
  };
  const lingTiny = {
    ...ling,
    hidden_size: 1536,
    intermediate_size: 4608,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    vocab_size: 157184,
    q_lora_rank: 256,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    qk_head_dim: 192,
    rotary_dim: 64,
    v_head_dim: 128,
    layer_group_size: 4,
    head_dim: 128,
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 512,
    moe_shared_expert_intermediate_size: 512,
    n_group: 8,
    topk_group: 4,
  };
  const { quantization_config: _, ...bf16 } = v3;
  // What their makers say, in billions.
  test.each<[string, number, Json]>([
    ["DeepSeek-V3", 671, v3],
    [
      "DeepSeek-V3.2",
      672,
      { ...v3, model_type: "deepseek_v32", index_head_dim: 128, index_n_heads: 64, index_topk: 2048 },
    ],
    [
      "Kimi K2",
      1026,
      {
        ...v3,
        model_type: "kimi_k2",
        num_attention_heads: 64,
        num_key_value_heads: 64,
        vocab_size: 163840,
        n_routed_experts: 384,
        n_group: 1,
        topk_group: 1,
        first_k_dense_replace: 1,
        rope_theta: 50000,
      },
    ],
    [
      "DeepSeek-V2-Lite",
      15.7,
      {
        ...bf16,
        model_type: "deepseek_v2",
        hidden_size: 2048,
        intermediate_size: 10944,
        num_hidden_layers: 27,
        moe_intermediate_size: 1408,
        num_attention_heads: 16,
        num_key_value_heads: 16,
        vocab_size: 102400,
        first_k_dense_replace: 1,
        q_lora_rank: null,
        n_routed_experts: 64,
        n_shared_experts: 2,
        n_group: 1,
        num_experts_per_tok: 6,
        topk_group: 1,
        topk_method: "greedy",
        scoring_func: "softmax",
      },
    ],
    [
      "GLM-4.7-Flash",
      29.9,
      {
        ...bf16,
        model_type: "glm4_moe_lite",
        hidden_size: 2048,
        intermediate_size: 10240,
        num_hidden_layers: 47,
        moe_intermediate_size: 1536,
        num_attention_heads: 20,
        num_key_value_heads: 20,
        vocab_size: 154880,
        q_lora_rank: 768,
        qk_nope_head_dim: 192,
        v_head_dim: 256,
        n_routed_experts: 64,
        num_experts_per_tok: 4,
        n_group: 1,
        topk_group: 1,
        first_k_dense_replace: 1,
        partial_rotary_factor: 1,
        rope_scaling: null,
      },
    ],
    [
      "Youtu-LLM-2B",
      1.96,
      {
        model_type: "youtu",
        hidden_size: 2048,
        intermediate_size: 6144,
        num_hidden_layers: 32,
        num_attention_heads: 16,
        num_key_value_heads: 16,
        vocab_size: 128256,
        q_lora_rank: 1536,
        kv_lora_rank: 512,
        qk_nope_head_dim: 128,
        qk_rope_head_dim: 64,
        qk_head_dim: 192,
        v_head_dim: 128,
        rope_interleave: true,
        rope_parameters: { rope_theta: 1600000, rope_type: "default" },
      },
    ],
    [
      "MiniCPM3-4B",
      4.07,
      {
        model_type: "minicpm3",
        hidden_size: 2560,
        intermediate_size: 6400,
        num_hidden_layers: 62,
        num_attention_heads: 40,
        num_key_value_heads: 40,
        vocab_size: 73448,
        q_lora_rank: 768,
        kv_lora_rank: 256,
        qk_nope_head_dim: 64,
        qk_rope_head_dim: 32,
        scale_emb: 12,
        dim_model_base: 256,
        scale_depth: 1.4,
        rms_norm_eps: 1e-5,
        initializer_range: 0.1,
        max_position_embeddings: 32768,
      },
    ],
    [
      "Qwen3-0.6B",
      0.596,
      {
        model_type: "qwen3",
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        head_dim: 128,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        vocab_size: 151936,
        tie_word_embeddings: true,
        sliding_window: null,
        use_sliding_window: false,
        max_window_layers: 28,
        rope_theta: 1000000,
      },
    ],
    [
      "Kimi-Linear-48B-A3B",
      48.9,
      {
        ...kimi,
        head_dim: 72,
        hidden_size: 2304,
        intermediate_size: 9216,
        num_hidden_layers: 27,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        vocab_size: 163840,
        kv_lora_rank: 512,
        qk_nope_head_dim: 128,
        qk_rope_head_dim: 64,
        v_head_dim: 128,
        num_experts: 256,
        num_experts_per_token: 8,
        moe_intermediate_size: 1024,
        linear_attn_config: {
          kda_layers: [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26],
          full_attn_layers: [4, 8, 12, 16, 20, 24, 27],
          num_heads: 32,
          head_dim: 128,
          short_conv_kernel_size: 4,
        },
      },
    ],
    ["Ling-3.0-tiny", 7.9, lingTiny],
    [
      "Ling-3.0-flash",
      124,
      {
        ...lingTiny,
        hidden_size: 2560,
        intermediate_size: 6144,
        num_hidden_layers: 42,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        q_lora_rank: null,
        layer_group_size: 6,
        num_experts: 512,
        moe_intermediate_size: 768,
        moe_shared_expert_intermediate_size: 768,
        first_k_dense_replace: 2,
      },
    ],
  ])("of %s gives as many parameters as its makers say", (_what, billions, config) => {
    const size = modelSize(familyOf(config.model_type)!.model(config)) / 1e9;
    expect(Math.abs(size / billions - 1)).toBeLessThan(0.01);
  });

  test("of a model type that no family reads has no family", () => {
    expect(familyOf("gpt2")).toBeUndefined();
    expect(familyOf(undefined)).toBeUndefined();
    expect(families.flatMap(({ modelTypes }) => modelTypes)).toEqual([
      "llama",
      "qwen3",
      "deepseek_v2",
      "deepseek_v3",
      "kimi_k2",
      "deepseek_v32",
      "glm4_moe_lite",
      "youtu",
      "youtu_llm",
      "minicpm3",
      "kimi_linear",
      "bailing_hybrid",
      "biform",
    ]);
  });
});

describe("YaRN", () => {
  const of = (scaling: Json) => scaledRotation({ rope_theta: 10000, rope_scaling: { ...yarn, ...scaling } }, 8, "half");

  test("multiplies cos and sin by the ratio of its mscales and the softmax by the square of the second", () => {
    const m = (multiplier: number) => 0.1 * multiplier * Math.log(40) + 1;
    expect(of({ mscale: 1.5, mscale_all_dim: 0.6 }).rotation.magnitude).toBeCloseTo(m(1.5) / m(0.6), 14);
    expect(of({ mscale: 1.5, mscale_all_dim: 0.6 }).softmax).toBeCloseTo(m(0.6) ** 2, 14);
    expect(of({})).toMatchObject({ rotation: { magnitude: m(1) }, softmax: 1 });
    expect(of({ attention_factor: 1.25 }).rotation.magnitude).toBe(1.25);
    expect(of({ factor: 1 }).rotation.magnitude).toBe(1);
  });

  test("leaves the fastest pair as it is and stretches the slowest by the factor", () => {
    const { frequencies } = of({ original_max_position_embeddings: 4096 }).rotation;
    expect(frequencies[0]).toBe(1);
    expect(frequencies[3]).toBeCloseTo(1e-3 / 40, 15);
  });

  test("takes the factor from the two lengths where it is not given, and needs one of the two", () => {
    const lengths = { max_position_embeddings: 1280, rope_scaling: { ...yarn, factor: undefined } };
    expect(scaledRotation(lengths, 8, "half")).toEqual(of({}));
    expect(() => scaledRotation({ rope_scaling: { ...yarn, factor: undefined } }, 8, "half")).toThrow(/factor/);
  });
});
