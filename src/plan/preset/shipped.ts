/** DeepSeek's FP8 (config.json of DeepSeek-V3 and of what has its shape). */
const fp8 = {
  quant_method: "fp8",
  fmt: "e4m3",
  activation_scheme: "dynamic",
  weight_block_size: [128, 128],
};
/** As DeepSeek-V4 says it, whose experts are of four bits (`expert_dtype`). */
const fp4Experts = { quantization_config: { ...fp8, scale_fmt: "ue8m0", expert_dtype: "fp4" } };
/** As DeepSeek-V4.1 says it: blocks of 32 x 32, and Engram's tables as its matrices. */
const fp8Blocks32 = {
  quantization_config: { ...fp8, weight_block_size: [32, 32], scale_fmt: "ue8m0", expert_dtype: "fp4" },
};
/** Experts of four bits (config.json of Kimi-K2-Thinking and Kimi-K2.5). */
const int4Experts = {
  quant_method: "compressed-tensors",
  format: "pack-quantized",
  ignore: ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
  config_groups: {
    group_0: {
      targets: ["Linear"],
      weights: { num_bits: 4, type: "int", strategy: "group", group_size: 32, symmetric: true },
    },
  },
};
/** Routed experts of four bits with a scale of a byte for each 32 (config.json of Kimi-K3; its attention and shared experts are not). */
const mxfp4Experts = {
  ...int4Experts,
  format: "mxfp4-pack-quantized",
  config_groups: {
    group_0: {
      targets: ["Linear"],
      weights: {
        num_bits: 4,
        type: "float",
        strategy: "group",
        group_size: 32,
        symmetric: true,
        scale_dtype: "torch.uint8",
      },
    },
  },
};
/** Config.json of gpt-oss-20b and gpt-oss-120b. */
const mxfp4 = {
  quant_method: "mxfp4",
  modules_to_not_convert: ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
};

/**
 * The keys that say what weights are shipped in, of presets whose publishers ship other types than 16 bits: the
 * `quantization_config` of their own config.json. test/shipped.test.ts holds most of them to the size of the files.
 */
export const shippedKeys: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "deepseek-v3": { quantization_config: fp8 },
  "deepseek-r1": { quantization_config: fp8 },
  "deepseek-v3.1": { quantization_config: { ...fp8, scale_fmt: "ue8m0" } },
  "deepseek-v3.2": { quantization_config: { ...fp8, scale_fmt: "ue8m0" } },
  "deepseek-v4-flash": fp4Experts,
  "deepseek-v4-pro": fp4Experts,
  "deepseek-v4.1-flash": fp8Blocks32,
  "kimi-k2": { quantization_config: fp8 },
  "kimi-k2.5": { quantization_config: int4Experts },
  "kimi-k3": { quantization_config: mxfp4Experts },
  // Its config.json has a list of modules that it leaves out, which the copy that was read does not; the head is taken to be among them.
  "devstral-2-123b": {
    quantization_config: { quant_method: "fp8", activation_scheme: "static", modules_to_not_convert: ["lm_head"] },
  },
  // Of the modules that it leaves out its config.json has a list, which the copy that was read does not: within half a percent.
  "mimo-v2-flash": { quantization_config: fp8 },
  "gpt-oss-20b": { quantization_config: mxfp4 },
  "gpt-oss-120b": { quantization_config: mxfp4 },
  "minimax-m2": {
    quantization_config: { ...fp8, modules_to_not_convert: ["gate", "e_score_correction_bias", "lm_head"] },
  },
};
