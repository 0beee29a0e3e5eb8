// What weights are shipped in, by quantization configs: against the sizes of published checkpoints, and by hand.
import { describe, expect, test } from "vitest";
import { type Blueprint, countParameters, draftOf } from "../src/cost/blueprint.ts";
import { parametersRead, stepBytes, weightBytes } from "../src/cost/cost.ts";
import { groupOf } from "../src/cost/group.ts";
import { countByPart, productOf } from "../src/cost/part.ts";
import { prefillOn } from "../src/cost/serve.ts";
import { parseSplit } from "../src/cost/split.ts";
import type { Dtype, WeightType } from "../src/cost/type.ts";
import type { Config } from "../src/family/config.ts";
import { plan } from "../src/plan/plan.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { shippedKeys } from "../src/plan/preset/shipped.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { linearsOf } from "../src/plan/read/linear.ts";
import { countNamed, readWildcards } from "../src/plan/read/wildcard.ts";
import { FormatError } from "../src/tensor/error.ts";

const preset = (name: string, more: Config) => blueprintOfConfig({ ...presetOf(name)!.config, ...more }, name);
const fp8 = { quant_method: "fp8", fmt: "e4m3", weight_block_size: [128, 128], activation_scheme: "dynamic" };
const layersOf = (count: number, ...modules: string[]) =>
  Array.from({ length: count }, (_, i) => modules.map((module) => `model.layers.${i}.${module}`)).flat();
const compressed = (weights: Config, ignore: string[], format: string) => ({
  quant_method: "compressed-tensors",
  format,
  ignore,
  config_groups: { group_0: { targets: ["Linear"], weights, input_activations: null } },
});
const mxfp4 = {
  quant_method: "mxfp4",
  modules_to_not_convert: ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
};
const awq = { quant_method: "awq", bits: 4, group_size: 128, zero_point: true, version: "gemm" };

describe("published checkpoints", () => {
  // GB of all files that hold weights, as the pages of their repositories on the hub list them: to the byte, or to the last digit.
  test.each<[string, string, Config, number, number]>([
    // openai/gpt-oss-120b/original: 65.2 GB; gpt-oss-20b: 4.79 + 4.80 + 4.17.
    ["gpt-oss-120b", "gpt-oss-120b", { quantization_config: mxfp4 }, 65.2, 0.1],
    ["gpt-oss-20b", "gpt-oss-20b", { quantization_config: mxfp4 }, 13.76, 0.1],
    // Qwen/Qwen2.5-72B-Instruct-AWQ, eleven files, whose MLPs are padded to whole groups; graelo/Qwen2.5-7B-Instruct-1M-AWQ.
    ["AWQ", "qwen2.5-72b", { intermediate_size: 29696, quantization_config: awq }, 41.57, 0.1],
    ["AWQ", "qwen2.5-7b", { quantization_config: awq }, 5.57, 0.1],
    // neuralmagic/Meta-Llama-3.1-70B-Instruct-FP8: 72.7 GB; amd/Meta-Llama-3.1-405B-Instruct-fp8-quark-vllm: 410 GB.
    [
      "compressed-tensors",
      "llama-3.1-70b",
      {
        quantization_config: compressed(
          { num_bits: 8, type: "float", strategy: "tensor" },
          ["lm_head"],
          "float-quantized",
        ),
      },
      72.7,
      0.1,
    ],
    [
      "Quark",
      "llama-3.1-405b",
      {
        quantization_config: {
          quant_method: "quark",
          global_quant_config: { weight: { dtype: "fp8_e4m3", qscheme: "per_tensor" } },
          exclude: ["lm_head"],
        },
      },
      410,
      0.1,
    ],
    // predibase/Qwen2.5-32B-Instruct-FP8: 5 + 4.91 + 4 x 4.88 + 4.91.
    [
      "fp8 by tensor",
      "qwen2.5-32b",
      { quantization_config: { quant_method: "fp8", activation_scheme: "dynamic" } },
      34.34,
      0.1,
    ],
    // DrNicefellow/Qwen2.5-32B-Instruct-4.25bpw-exl2: 8.59 + 8.57 + 1.59; the embedding stays, and bits are an average.
    ["EXL2", "qwen2.5-32b", { quantization_config: { quant_method: "exl2", bits: 4.25, head_bits: 6 } }, 18.75, 1],
    // moonshotai/Kimi-K2-Instruct: 1.03 TB; Kimi-K2-Thinking: 594 GB, experts alone.
    ["fp8 in blocks", "kimi-k2", { quantization_config: fp8 }, 1030, 0.2],
    [
      "int4 experts",
      "kimi-k2",
      {
        quantization_config: compressed(
          { num_bits: 4, type: "int", strategy: "group", group_size: 32, symmetric: true },
          ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
          "pack-quantized",
        ),
      },
      594,
      0.1,
    ],
  ])("%s: %s", (_, name, more, published, percent) => {
    const bytes = weightBytes(preset(name, more), "file");
    expect(Math.abs(bytes / 1e9 / published - 1)).toBeLessThan(percent / 100);
  });

  test("DeepSeek-V3 with its layer that predicts one more token, and that layer's copies of both tables", () => {
    const model = preset("deepseek-v3", { num_nextn_predict_layers: 1, quantization_config: fp8 });
    const { embedding, head } = countByPart(model);
    const all = weightBytes(model, "file") + weightBytes(draftOf(model)!, "file") + 2 * (embedding + head);
    // deepseek-ai/DeepSeek-V3 at afb92e1: 688,586,727,753 bytes of files, whose headers are 0.002 % of them.
    expect(Math.abs(all / 688_586_727_753 - 1)).toBeLessThan(0.0005);
  });
});

test("DeepSeek-V4.1-Flash with its draft layers, and Engram's tables in float8", () => {
  const model = preset("deepseek-v4.1-flash", {});
  const all = weightBytes(model, "file") + weightBytes(draftOf(model)!, "file");
  // 510.313 GB of files (0xSero/local-ai-registry#55), of which an encoder of images of 0.9 billion parameters is not counted.
  const encoder = 510.313e9 - all;
  expect(encoder).toBeGreaterThan(0.9e9);
  expect(encoder).toBeLessThan(2 * 0.9e9 + 0.5e9);
  // As vLLM's recipe of it has the tables, 183.1 GiB and a byte for each 32 of them, in GiB.
  const { table } = countByPart(model);
  expect((table * 33) / 32 / 2 ** 30).toBeCloseTo(183.1 + 183.1 / 32, 0);
  expect(model.shipped).toBe("fp8 in blocks of 32 x 32, experts fp4; all else bfloat16");
});

/** A dense model: 2 layers, width 64, 4 query heads and 2 of keys of 16, MLPs of 128, 100 tokens. */
const small = {
  model_type: "llama",
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  intermediate_size: 128,
  vocab_size: 100,
};
const attention = 2 * 64 * 64 + 2 * 64 * 32;
const mlp = 3 * 64 * 128;
const linear = 2 * (attention + mlp);
const rest = 2 * 100 * 64 + 5 * 64;
const bytesOf = (quantization_config: Config, more: Config = {}) =>
  blueprintOfConfig({ ...small, ...more, quantization_config }, "x").weightBytes!;

test("presets are planned in what their publishers ship, and a step is priced in it", () => {
  for (const name of Object.keys(shippedKeys)) {
    const model = preset(name, {});
    expect([name, model.assumed]).toEqual([name, preset(name, { quantization_config: undefined }).assumed]);
    expect(weightBytes(model, "file")).toBeLessThan(0.6 * weightBytes(model, "bfloat16"));
    expect(weightBytes(model, "file")).toBeGreaterThan(0.26 * weightBytes(model, "bfloat16"));
  }
});

describe("by hand", () => {
  const group = { num_bits: 4, type: "int", strategy: "group", group_size: 32 };
  const head = 100 * 64;
  test.each<[string, Config, number]>([
    // 8 bits, and a float32 scale for a block of 128 x 128.
    ["fp8 in blocks", fp8, linear * (1 + 4 / 16384) + 2 * rest],
    ["fp8", { quant_method: "fp8" }, linear + 2 * rest],
    // Scales of 16 bits and zeros of 4 for every 32.
    ["gptq", { quant_method: "gptq", bits: 4, group_size: 32 }, (linear * (4 + 20 / 32)) / 8 + 2 * rest],
    ["awq's older keys", { quant_method: "awq", w_bit: 4, q_group_size: 32 }, (linear * (4 + 20 / 32)) / 8 + 2 * rest],
    ["int4 by 32", compressed(group, ["lm_head"], "pack-quantized"), (linear * (4 + 16 / 32)) / 8 + 2 * rest],
    [
      "with its head",
      compressed(group, [], "pack-quantized"),
      ((linear + head) * (4 + 16 / 32)) / 8 + 2 * (rest - head),
    ],
    [
      "with zeros",
      compressed({ ...group, symmetric: false }, ["re:.*lm_head"], "pack-quantized"),
      (linear * (4 + 20 / 32)) / 8 + 2 * rest,
    ],
    // A byte of scale for every 16, of exponent for every 32.
    ["nvfp4", { quant_method: "modelopt", quant_algo: "NVFP4", ignore: ["lm_head"] }, (linear * 4.5) / 8 + 2 * rest],
    [
      "mxfp4 by Quark",
      {
        quant_method: "quark",
        global_quant_config: { weight: { dtype: "fp4", qscheme: "per_group", group_size: 32, scale_format: "e8m0" } },
        exclude: ["lm_head"],
      },
      (linear * 4.25) / 8 + 2 * rest,
    ],
    // A float32 scale for 64, or a byte and a float32 for 256 of these.
    ["nf4", { quant_method: "bitsandbytes", load_in_4bit: true }, (linear * 4.5) / 8 + 2 * rest],
    [
      "nf4 twice",
      { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_use_double_quant: true },
      (linear * (4 + 8 / 64 + 32 / 64 / 256)) / 8 + 2 * rest,
    ],
    [
      "torchao",
      {
        quant_method: "torchao",
        quant_type: { default: { _type: "Int4WeightOnlyConfig", _data: { group_size: 32 } } },
      },
      (linear * 5) / 8 + 2 * rest,
    ],
    [
      "hqq",
      { quant_method: "hqq", quant_config: { weight_quant_params: { nbits: 4, group_size: 64 } } },
      (linear * 4.5) / 8 + 2 * rest,
    ],
    ["bitnet", { quant_method: "bitnet" }, linear / 4 + 2 * rest],
  ])("%s", (_, config, bytes) => {
    expect(bytesOf(config)).toBe(Math.round(bytes));
  });

  test("MLX says no method, and quantises both tables", () => {
    const found = blueprintOfConfig({ ...small, quantization: { group_size: 64, bits: 4 } }, "x");
    expect(found.weightBytes).toBe(((linear + 2 * head) * 4.5) / 8 + 2 * (rest - 2 * head));
  });

  test("modules that are left as they are: whole attention, one matrix, one layer", () => {
    const spare = (...modules_to_not_convert: string[]) => bytesOf({ quant_method: "fp8", modules_to_not_convert });
    const all = linear + 2 * rest;
    expect(spare()).toBe(all);
    expect(spare("self_attn")).toBe(all + 2 * attention);
    expect(spare("model.layers.1.self_attn")).toBe(all + attention);
    expect(spare(...layersOf(2, "self_attn.q_proj"))).toBe(all + 2 * 64 * 64);
    expect(spare("q_proj", "k_proj", "v_proj", "o_proj", "mlp")).toBe(all + linear);
    expect(spare("re:.*layers\\.[0-9]+\\.mlp\\.(gate|up)_proj$")).toBe(all + (4 * mlp) / 3);
    expect(spare("model.layers.0.*", "model.layers.1.mlp*")).toBe(all + attention + 2 * mlp);
    expect(spare("visual", "lm_head", "mlp.gate", "model.layers.7.mlp")).toBe(all);
  });

  test("rules by module: FP4 here, FP8 there, the rest as it is", () => {
    const mixed = {
      quant_method: "modelopt",
      quant_algo: "MIXED_PRECISION",
      quantized_layers: Object.fromEntries([
        ...layersOf(2, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj").map((name) => [name, { quant_algo: "NVFP4" }]),
        ...layersOf(1, "self_attn.o_proj").map((name) => [name, { quant_algo: "FP8" }]),
      ]),
    };
    expect(bytesOf(mixed)).toBe((2 * mlp * 4.5) / 8 + 64 * 64 + 2 * (2 * attention - 64 * 64 + rest));
  });

  test("what is not quantised has the config's type; without a quantization it is all of it where that is float32", () => {
    expect(bytesOf({ quant_method: "fp8" }, { torch_dtype: "float32" })).toBe(linear + 4 * rest);
    expect(blueprintOfConfig({ ...small, dtype: "float32" }, "x").weightBytes).toBe(4 * (linear + rest));
    expect(blueprintOfConfig({ ...small, torch_dtype: "bfloat16" }, "x").weightBytes).toBeUndefined();
  });

  test("experts of four bits beside attention of sixteen: a step reads each at its own", () => {
    const { layers, ...model } = preset("gpt-oss-20b", { quantization_config: mxfp4 });
    const blueprint: Blueprint = { ...model, layers };
    const read = parametersRead(blueprint, { t: 1, s: 1 });
    const { weights } = stepBytes(
      blueprint,
      { cached: "expanded", form: "expanded" },
      { t: 1, s: 1 },
      {
        weightType: "file",
        cacheType: "bfloat16",
      },
    );
    const { expert, ...others } = read;
    const wide = Object.values(others).reduce((sum, count) => sum + count, 0);
    // A third of what a token reads is experts, and they are 19 of 21 billion: an average would be 0.66 bytes for all of it.
    expect(weights / (2 * wide + (expert * 4.25) / 8)).toBeCloseTo(1, 2);
    expect(weights).toBeGreaterThan(
      1.5 * (wide + expert) * (blueprint.weightBytes! / countParameters(blueprint).total),
    );
  });
});

describe("what is not known", () => {
  test("a method that is not known is told, and weights are counted as bfloat16", () => {
    const found = blueprintOfConfig({ ...small, quantization_config: { quant_method: "novel" } }, "x");
    expect(found.weightBytes).toBeUndefined();
    const settings = { context: 8, batch: 1, step: 1, cacheType: "bfloat16", hosts: [], layouts: [] } as const;
    expect(plan(found, { ...settings, weightType: "bfloat16" }).notes.join()).toMatch(/novel is not known.*bfloat16/);
  });

  test("patterns that are not understood are told", () => {
    const ignore = ["lm_head", "re:.*(?<!mlp)\\.gate", "re:(a(b|c))*d"];
    const found = blueprintOfConfig(
      { ...small, quantization_config: { ...compressed({ num_bits: 8 }, ignore, "int-quantized") } },
      "x",
    );
    expect(found.assumed!.join()).toMatch(/"re:\.\*\(\?<!mlp\).*, "re:\(a\(b\|c\)\)\*d" is not understood/);
  });

  test.each<[string, Config, RegExp]>([
    ["bits of nothing", { quant_method: "gptq", bits: 0 }, /quantization_config\.bits: got 0/],
    ["negative bits", { quant_method: "gptq", bits: -4 }, /quantization_config\.bits: got -4/],
    ["bits as text", { quant_method: "gptq", bits: "4" }, /quantization_config\.bits: got "4"/],
    ["half a group", { quant_method: "awq", bits: 4, group_size: 0.5 }, /quantization_config\.group_size: got 0\.5/],
    [
      "an empty block",
      { quant_method: "fp8", weight_block_size: [0, 128] },
      /quantization_config\.weight_block_size\.0: got 0/,
    ],
    [
      "a block of one size",
      { quant_method: "fp8", weight_block_size: [128] },
      /quantization_config\.weight_block_size/,
    ],
    [
      "modules that are numbers",
      { quant_method: "fp8", modules_to_not_convert: [3] },
      /modules_to_not_convert\.0: got 3/,
    ],
    ["groups that are none", { quant_method: "compressed-tensors", config_groups: 4 }, /config_groups: got 4/],
    [
      "bits within a group",
      compressed({ num_bits: 1e9 }, [], "x"),
      /config_groups\.group_0\.weights\.num_bits: got 1000000000/,
    ],
  ])("%s is refused by its key", (_, quantization_config, message) => {
    const read = () => blueprintOfConfig({ ...small, quantization_config }, "x");
    expect(read).toThrow(message);
    expect(read).toThrow(FormatError);
  });

  test("patterns of strangers take no time", () => {
    const evil = [`re:${".*a".repeat(2000)}`, `re:${"a*".repeat(2000)}$`, "*".repeat(4000), `re:${"(a|b)".repeat(40)}`];
    const many = Array.from({ length: 20_000 }, (_, i) => `model.layers.${i}.x${i}.y*`);
    const start = performance.now();
    const found = blueprintOfConfig(
      {
        ...small,
        quantization_config: { quant_method: "fp8", modules_to_not_convert: [...evil, ...many].slice(0, 20_000) },
      },
      "x",
    );
    expect(performance.now() - start).toBeLessThan(5000);
    expect(found.assumed!.join()).toMatch(/and others are not understood/);
  });
});

describe("products of shipped weights", () => {
  const of = (name: string, quantization_config: Config) => preset(name, { quantization_config });
  const productsOf = (model: Blueprint) =>
    (["attention", "feed", "expert", "head"] as const).map((part) => productOf(model, "file", part));
  const group = (weights: number, input?: number, targets = ["Linear"]) => ({
    targets,
    weights: { num_bits: weights, type: "float" },
    ...(input && { input_activations: { num_bits: input, type: "float" } }),
  });
  const groups = (...all: Config[]) => ({ quant_method: "compressed-tensors", config_groups: { ...all } });

  test.each<[string, string, Config, Dtype[]]>([
    ["DeepSeek's FP8", "deepseek-v3", fp8, ["float8", "float8", "float8", "bfloat16"]],
    // Weights alone are narrow: they are widened as they are read.
    ["MXFP4 by OpenAI", "gpt-oss-120b", mxfp4, ["bfloat16", "bfloat16", "bfloat16", "bfloat16"]],
    ["AWQ", "qwen2.5-7b", awq, ["bfloat16", "bfloat16", "bfloat16", "bfloat16"]],
    [
      "NVFP4 without attention and head",
      "deepseek-v3",
      { quant_method: "modelopt", quant_algo: "NVFP4", ignore: ["lm_head", "model.layers.*.self_attn*"] },
      ["bfloat16", "int4", "int4", "bfloat16"],
    ],
    [
      "NVFP4 beside 16 bits",
      "deepseek-v3",
      { quant_method: "modelopt", quant_algo: "W4A16_NVFP4" },
      ["bfloat16", "bfloat16", "bfloat16", "bfloat16"],
    ],
    ["8 by 8 bits", "llama-3.1-8b", groups(group(8, 8)), ["float8", "float8", "bfloat16", "float8"]],
    ["4 by 8 bits", "llama-3.1-8b", groups(group(4, 8)), ["float8", "float8", "bfloat16", "float8"]],
    ["4 bits alone", "llama-3.1-8b", groups(group(4)), ["bfloat16", "bfloat16", "bfloat16", "bfloat16"]],
    [
      "experts in 4 bits, all else in 8",
      "deepseek-v3",
      { ...groups(group(4, 4, ["re:.*mlp\\.experts\\..*"]), group(8, 8)), ignore: ["lm_head"] },
      ["float8", "float8", "int4", "bfloat16"],
    ],
    [
      "Quark's FP8",
      "llama-3.1-8b",
      {
        quant_method: "quark",
        global_quant_config: { weight: { dtype: "fp8_e4m3" }, input_tensors: { dtype: "fp8_e4m3" } },
        exclude: ["lm_head"],
      },
      ["float8", "float8", "bfloat16", "bfloat16"],
    ],
  ])("%s: of the type that both operands have", (_, name, config, expected) => {
    expect(productsOf(of(name, config))).toEqual(expected);
  });

  test("are of a weight's own type where none is narrow, and of the type that is asked for", () => {
    expect(productsOf(preset("llama-3.1-8b", { dtype: "float32" }))).toEqual(Array(4).fill("float32"));
    expect(productOf(of("deepseek-v3", fp8), "int4", "expert")).toBe("int4");
  });

  test("a prefill takes what products of that type take: FP8 as shipped as in float8, 4 bits alone as 16", () => {
    const group = groupOf("h100");
    const load = { context: 16_384, batch: 1, step: 1, cacheType: "bfloat16" } as const;
    const seconds = (model: Blueprint, weightType: WeightType) =>
      prefillOn(model, group, parseSplit("tp1"), { ...load, weightType }).seconds;
    const eight = { quant_method: "fp8", activation_scheme: "dynamic" };
    expect(seconds(of("llama-3.1-8b", eight), "file")).toBeCloseTo(seconds(of("llama-3.1-8b", eight), "float8"), 2);
    expect(seconds(of("llama-3.1-8b", awq), "file")).toBeCloseTo(seconds(preset("llama-3.1-8b", {}), "bfloat16"), 2);
    // Attention in 16 bits is what is left to pay where the rest is narrow.
    const nvfp4 = { quant_method: "modelopt", quant_algo: "NVFP4" };
    const [all, spared] = [nvfp4, { ...nvfp4, ignore: ["model.layers.*.self_attn*"] }];
    const b200 = (config: Config) =>
      prefillOn(of("deepseek-v3", config), groupOf("8xb200"), parseSplit("dp8"), {
        ...load,
        batch: 8,
        weightType: "file",
      }).seconds;
    expect(b200(spared) / b200(all)).toBeGreaterThan(1.1);
  });
});

test("names and patterns of modules", () => {
  const names = [
    "model.layers.#.mlp.gate_proj",
    "model.layers.#.self_attn.q_proj",
    "model.layers.#.mlp.experts.0.up_proj",
  ];
  const matches = (pattern: string) => {
    const { wildcards } = readWildcards([pattern]);
    return names.map((name) => countNamed(wildcards, [name], 32));
  };
  expect(matches("mlp.gate")).toEqual([0, 0, 0]);
  expect(matches("mlp.gate*")).toEqual([32, 0, 0]);
  expect(matches("mlp")).toEqual([32, 0, 32]);
  expect(matches("model.layers.3.mlp.")).toEqual([1, 0, 1]);
  expect(matches("re:model\\.layers\\.(1|2|30)\\..*")).toEqual([3, 3, 3]);
  expect(matches("re:.*\\.layers\\.\\d+\\.self_attn")).toEqual([0, 32, 0]);
  expect(matches("re:mlp")).toEqual([0, 0, 0]);
  expect(matches("re:.*gate$")).toEqual([0, 0, 0]);
  expect(matches("re:.*experts\\.[0-9]+\\.(up|down)_proj$")).toEqual([0, 0, 32]);
  expect(readWildcards(["re:a{3}", "re:[a-z]", "re:a(b", "re:(?:a|b)c"]).unclear).toEqual([
    "re:a{3}",
    "re:[a-z]",
    "re:a(b",
  ]);
});

test("the matrices of a model are its parameters but for vectors, routers and tables", () => {
  for (const name of ["llama-3.1-8b", "deepseek-v3", "qwen3-30b-a3b", "kimi-linear-48b-a3b", "qwen3-next-80b-a3b"]) {
    const model = preset(name, {});
    const linears = linearsOf(model);
    const total = linears.reduce((sum, { parameters }) => sum + parameters, 0);
    const { attention, feed, expert } = countByPart(model);
    const share = total / (attention + feed + expert);
    expect(share).toBeGreaterThan(0.995);
    expect(share).toBeLessThanOrEqual(1);
    // Of layers that a pattern names, no module is in more than there are.
    const count = model.layers.reduce((sum, layer) => sum + layer.count, 0);
    for (const { layers } of linears) expect(layers).toBeLessThanOrEqual(count);
  }
});
