import { describe, expect, test } from "vitest";
import { cacheValues, stateValues } from "../src/attention/define.ts";
import { type Blueprint, countParameters, draftBy, draftOf } from "../src/cost/blueprint.ts";
import { cacheBytes, formsOf, stateBytes, valuesPerLayer } from "../src/cost/cost.ts";
import type { Config } from "../src/family/config.ts";
import { plan } from "../src/plan/plan.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { engineGroups } from "../src/plan/show/engine.ts";
import { FormatError } from "../src/tensor/error.ts";
import * as field from "./fixture/field.ts";

const read = (config: object, as?: string) => blueprintOfConfig(config as Config, "x", { as });
const smallest = (blueprint: Blueprint) => formsOf(blueprint).at(-1)!;
const values = (blueprint: Blueprint) =>
  blueprint.layers.reduce((sum, { count }) => sum + count, 0) * valuesPerLayer(blueprint, smallest(blueprint));
const held = (blueprint: Blueprint, context: number) => cacheBytes(blueprint, smallest(blueprint), "float16", context);
const kinds = ({ layers }: Pick<Blueprint, "layers">) => {
  const found: Record<string, number> = {};
  for (const { count, attention: a } of layers) {
    const kind = `${a.variant.name}${a.window ? ` ${a.window}` : ""}`;
    found[kind] = (found[kind] ?? 0) + count;
  }
  return found;
};
const refused = (config: object, message: RegExp, as?: string) => {
  expect(() => read(config, as)).toThrow(message);
  expect(() => read(config, as)).toThrow(FormatError);
};

describe("parameters are those that the model's own class has", () => {
  // transformers 5.24.0, the class built from the same config without weights; corrections of routers are buffers there, and
  // tables have a few more rows, up to a prime.
  test.each(field.counted)("$name", ({ config, parameters, besides = 0 }) => {
    expect(countParameters(read(config)).total).toBe(parameters + besides);
  });
});

describe("which layers keep what", () => {
  test.each(field.kept)("$name", ({ config, layers, perToken, state }) => {
    const found = read(config);
    expect(kinds(found)).toEqual(layers);
    expect(values(found)).toBeCloseTo(perToken, 6);
    expect(stateBytes(found)).toBe(4 * state);
  });
});

describe("DeepSeek-V4.1", () => {
  test("a token leaves 1600 values in the whole model: three owners at a ratio of 2 and one at 1, each with its index key", () => {
    const found = read(field.v41);
    // Windows are full: what grows is pooled entries and their keys, of two bytes a number.
    expect((held(found, 2 ** 20) - held(found, 2 ** 19)) / 2 ** 19 / 2).toBe((3 / 2 + 1) * (512 + 128));
    expect(held(found, 2 ** 20)).toBe(2 * (2 ** 20 * 1600 + 40 * 128 * 512));
    expect(kinds(found)).toEqual({ "V4 128": 2, "V4.1-source": 4, "V4.1-index": 4, "V4.1-reader": 30 });
  });
  test("engines that keep exactly what there is keep as many bytes", () => {
    const settings = { context: 4096, batch: 1, step: 1, weightType: "bfloat16", cacheType: "float16" } as const;
    const blueprint = read({ model_type: "deepseek_v41", text_config: field.v41Small });
    const { engines } = plan(blueprint, { ...settings, hosts: [], layouts: [] });
    expect(engines.map(({ bytes }) => bytes)).toContain(196_992);
  });
  test("engines leave as many values a token as the plan says, and times are of bytes", () => {
    const settings = { context: 131_072, batch: 1, step: 1, weightType: "bfloat16", cacheType: "float16" } as const;
    const planned = plan(read(field.v41), { ...settings, hosts: [], layouts: [] });
    for (const { values } of engineGroups(planned)) expect(values).toBe(valuesPerLayer(read(field.v41), "expanded"));
    const [fp8, ...more] = engineGroups(planned);
    expect(fp8!.times).toBe("1");
    expect(more.map(({ bytes, times }) => [times, (bytes / fp8!.bytes).toPrecision(2)])).toEqual([
      ["1.1", "1.1"],
      ["1.91", "1.9"],
    ]);
  });
  test("windows are each layer's own, and a small one is right to the byte", () => {
    const small = { model_type: "deepseek_v41", text_config: field.v41Small };
    expect(held(read(small), 4096)).toBe(196_992);
    // The same keys under the model_type of V4.
    expect(held(read({ ...small, text_config: { ...field.v41Small, model_type: "deepseek_v4" } }), 4096)).toBe(196_992);
  });
  test("what --as cannot say is refused by its keys", () => {
    for (const as of ["GQA", "MLA"])
      refused(
        { model_type: "deepseek_v41", text_config: field.v41Small },
        /kv_source_layer_ids.*index_source_layer_ids/,
        as,
      );
  });
  test("a layer that reads what no layer before it makes is refused by the key", () => {
    const change = (keys: object) => ({ ...field.v41Small, model_type: "deepseek_v41", ...keys });
    refused(change({ kv_source_layer_ids: [3, 4] }), /^kv_source_layer_ids: got no layer at or before 2/);
    refused(change({ index_source_layer_ids: [4] }), /^index_source_layer_ids: got no layer at or before 2/);
    refused(change({ kv_source_layer_ids: [2] }), /^compress_ratios: got 1 for layer 4 and 2 for layer 2/);
    refused(change({ kv_source_layer_ids: [1, 2, 4] }), /^compress_ratios: got 0 for layer 1/);
    refused(change({ kv_source_layer_ids: [2, 4, 9] }), /got 9, expected layers from 0 to 5/);
    refused(change({ kv_source_layer_ids: [-1] }), /kv_source_layer_ids/);
    // Layer 3 has no indexer, and there is no layer 6.
    for (const id of [3, 6]) refused(change({ candidate_source_layer_id: id }), /^candidate_source_layer_id: got/);
    refused(change({ compress_ratios: [0, 0, 2] }), /num_hidden_layers: got 3 entries/);
    refused(change({ compress_ratios: [0, 0, 0.5, 2, 1, 1] }), /^compress_ratios\.2: got 0\.5/);
  });
  test("tables of n-grams stand apart: 196 of 763 billion parameters, of which a token reads a row per head", () => {
    const found = read(field.v41);
    const { total, active, hosted } = countParameters(found);
    expect(hosted).toBe((384_006_168 + 384_016_682) * 256);
    expect(hosted / 1e9).toBeCloseTo(196.6, 1);
    expect(found.tables!.map(({ read }) => read)).toEqual([6144, 6144]);
    const draft = countParameters(draftOf(found)!).total;
    // 763 with the vision tower's 0.9.
    expect((total + draft) / 1e9).toBeCloseTo(762.6, 0);
    expect(active / 1e9).toBeLessThan(17);
  });
  test("draft layers see the window and have experts of their own", () => {
    const draft = read(field.v41).draft!;
    expect(draft.name).toBe("DSpark");
    expect(draft.layers).toHaveLength(1);
    expect(draft.layers[0]).toMatchObject({ count: 3, attention: { window: 128 }, feed: { experts: 128, chosen: 3 } });
    // Joining three layers' hidden states, two norms, a bigram table of rank 256 and a score of confidence.
    expect(draft.extra).toBe(5120 * 15_360 + 2 * 5120 + 2 * 129_280 * 256 + 5376);
  });
});

describe("GLM-5.3-Flash", () => {
  test("index keys are pooled by four, beside states of KDA", () => {
    expect(held(read(field.glmSmall), 8192)).toBe(301_440);
    expect((16 + 2) * 2 * 8192 + 3 * 544 * 4).toBe(301_440);
  });
  test("the layer that proposes tokens has MLA, although the last layer is KDA", () => {
    const { draft, layers } = read({ ...field.glmFlash, num_nextn_predict_layers: 1 });
    expect(layers.some(({ attention }) => attention.variant.name === "KDA")).toBe(true);
    expect(kinds(draft!)).toEqual({ "DSA-pooled": 1 });
  });
  test("a pool of no tokens is refused", () => {
    for (const index_kpool of [0, -4, 2.5, "4"]) refused({ ...field.glmSmall, index_kpool }, /^index_kpool: got/);
  });
  test("a layer in both lists of kinds, or in none, is refused", () => {
    const lists = (kda_layers: number[]) => ({
      ...field.glmSmall,
      linear_attn_config: { ...field.glmSmall.linear_attn_config, kda_layers, full_attn_layers: [4] },
    });
    expect(held(read(lists([1, 2, 3])), 8192)).toBe(301_440);
    refused(lists([1, 2]), /^linear_attn_config: got layer 3 in none/);
    refused(lists([1, 2, 3, 4]), /^linear_attn_config: got layer 4 in both/);
  });
});

test.each([
  ["muse-glimmer-30b", { "GQA-gated 2048": 39, "GQA-gated": 13 }],
  ["step-3.7-flash", { "GQA-headgated 512": 33, "GQA-headgated": 12 }],
  ["laguna-s-2.1", { "GQA-headgated 512": 36, "GQA-headgated": 12 }],
  ["k-exaone-236b-a23b", { "GQA 128": 36, GQA: 12 }],
  ["nemotron-h-56b", { "Mamba-2": 54, none: 54, GQA: 10 }],
  ["a.x-k2-light", { "DSA-latentgated": 48 }],
  ["sarvam-105b", { MLA: 32 }],
  ["rwkv7-1.5b", { "RWKV-7": 24 }],
] as const)("%s has layers of these kinds", (name, layers) => {
  expect(kinds(read(presetOf(name)!.config))).toEqual(layers);
});

test.each([
  ["deepseek-v4.1-flash", "DSpark", { "V4 128": 3 }, 14.2],
  ["glm-5.3-flash", "MTP", { "DSA-pooled": 1 }, 7.4],
  ["qwen3.8-flash-next", "MTP", { "GQA-indexed-gated": 1 }, 2.6],
  ["nemotron-3-super-120b-a12b", "MTP", { GQA: 1, none: 1 }, 2.9],
] as const)("the layers of %s that propose tokens are rows of their own", (name, method, layers, billions) => {
  const blueprint = read(presetOf(name)!.config);
  expect(blueprint.draft!.name).toBe(method);
  expect(kinds(blueprint.draft!)).toEqual(layers);
  expect(countParameters(draftOf(blueprint)!).total / 1e9).toBeCloseTo(billions, 0);
});

test.each([
  ["mimo-v2-flash", 3, { "GQA 128": 3 }, 0.33],
  ["minimax-m2", 3, { GQA: 3 }, 3.65],
  ["step-3.7-flash", 3, { "GQA-headgated 512": 3 }, 0.25],
  ["ling-3.0-flash", 1, { MLA: 1 }, 3.1],
] as const)("the layers of %s that propose tokens, where its config has some", (name, count, layers, billions) => {
  const { draft, assumed } = read({ ...presetOf(name)!.config, num_nextn_predict_layers: count });
  expect(kinds(draft!)).toEqual(layers);
  expect(assumed ?? []).not.toContainEqual(expect.stringContaining("predict further tokens"));
  const { total } = countParameters(draftOf(read({ ...presetOf(name)!.config, num_nextn_predict_layers: count }))!);
  expect(total / count / 1e9).toBeCloseTo(billions, 1);
});

test("a plan tells states by their parts, and a draft's row with cache and parameters", () => {
  const settings = { context: 4096, batch: 3, step: 1, weightType: "bfloat16", cacheType: "float16" } as const;
  const { layers, draft, cache } = plan(read(field.nemotron), { ...settings, hosts: [], layouts: [] });
  const mamba = layers.find(({ variant }) => variant === "Mamba-2")!;
  expect(mamba.states).toEqual({
    memory: 64 * 64 * 128,
    conv: 64 * 64 * 3,
    convB: 8 * 128 * 3,
    convC: 8 * 128 * 3,
  });
  // Per sequence, and so many times for as many slots.
  const own = held(read(field.nemotron), 4096);
  expect(cache.find(({ dtype }) => dtype === "float16")!.bytes).toBe(3 * own);
  expect(draft).toMatchObject({ name: "MTP", layers: 2 });
  expect(draft!.cache.find(({ dtype }) => dtype === "float16")!.bytes).toBe(3 * 4096 * 2 * 2 * 128 * 2);
});

test("costed layers have a cache and a state as wide as their axes say", () => {
  for (const { config } of [...field.kept, ...field.counted])
    for (const { attention: a } of read(config).layers) {
      const numbers = [cacheValues(a.variant, a.sizes), stateValues(a.variant, a.sizes)];
      for (const form of Object.values(a.variant.forms))
        numbers.push(...Object.values(form.cost(a.sizes)).filter((x) => typeof x === "number"));
      for (const number of numbers) expect(Number.isSafeInteger(number) && number >= 0).toBe(true);
    }
});

test("LongCat-Flash-Lite: tables of n-grams apart, twelve of them, each with two rows more than the one before", () => {
  const found = read(field.longcat);
  const rows = Array.from({ length: 12 }, (_, i) => 78 * 1000 + 2 * i + 1).reduce((a, b) => a + b, 0);
  expect(found.tables).toEqual([{ name: "embeddings of n-grams", parameters: rows * 8, read: 96 }]);
  // The same without: one matrix of 8 rows for each table.
  const plain = read({ ...field.longcat, model_type: "longcat_flash" });
  expect(countParameters(found).total - countParameters(plain).total).toBe(rows * 8 + 12 * 8 * 96);
});

test("LongCat-Flash-Lite-Sparse: a config without model_type, one index key for the two layers of a block", () => {
  const { model_type: _, ...sizes } = field.longcat;
  const sparse = {
    ...sizes,
    architectures: ["LongcatCausalLM"],
    attention_method: "LSA",
    index_n_heads: 2,
    index_head_dim: 8,
    index_topk: 64,
    oe_vocab_size_ratio: 78,
  };
  const found = read(sparse);
  expect(kinds(found)).toEqual({ DSA: 2, "DSA-shared": 2 });
  expect(held(found, 1000)).toBe(1000 * (4 * (16 + 8) + 2 * 8) * 2);
  expect(found.tables).toEqual(read(field.longcat).tables);
  // Beside what the dense kin has: queries of the bottleneck, a key and its norm without a bias, a weight for each head.
  const indexer = 32 * 2 * 8 + 96 * 8 + 8 + 96 * 2;
  expect(countParameters(found).total - countParameters(read(field.longcat)).total).toBe(2 * indexer);
  expect(kinds(read({ ...sparse, cli_factor: 4 }))).toEqual({ DSA: 1, "DSA-shared": 3 });
  // The same class without an indexer and without tables is LongCat-Flash.
  const plain = read({ ...sizes, architectures: ["LongcatCausalLM"] });
  expect(plain.layers).toEqual(read({ ...sizes, model_type: "longcat_flash" }).layers);
  expect(plain.tables).toEqual([]);
  refused({ ...sparse, attention_method: "NSA" }, /^attention_method: got "NSA"/);
  refused({ ...sparse, cli_factor: 0 }, /^cli_factor: got 0/);
  refused({ ...sparse, indexer_types: ["full"] }, /^indexer_types: got/);
  refused({ ...sparse, oe_embed_dim: 512 }, /^oe_embed_dim: got 512/);
});

describe("Motif 3", () => {
  const motif = presetOf("motif-3-beta")!.config;
  const small = {
    model_type: "motif3",
    vocab_size: 100,
    hidden_size: 40,
    num_hidden_layers: 5,
    attention_cls: "gdla",
    num_attention_heads: 10,
    num_key_value_heads: 2,
    head_dim: 12,
    qk_rope_head_dim: 4,
    v_head_dim: 8,
    q_lora_rank: 16,
    kv_lora_rank: 6,
    use_sliding_window: true,
    sliding_window: 32,
    sliding_window_pattern: "interleave",
    sliding_window_period: 4,
    mhc_enabled: false,
    intermediate_size: 64,
  };
  test("caches the latent in every layer, of which the first of four see everything", () => {
    const found = read(motif);
    expect(kinds(found)).toEqual({ GDLA: 14, "GDLA 128": 39 });
    expect(held(found, 262_144)).toBe((14 * 262_144 + 39 * 128) * (512 + 64) * 2);
    // As llama.cpp#26298 has it: 16 groups' keys and values are 8.9 times as many.
    expect((16 * (192 + 128)) / (512 + 64)).toBeCloseTo(8.9, 1);
    expect(cacheBytes(found, "expanded", "float16", 128)).toBe(53 * 128 * 16 * (192 + 128) * 2);
  });
  test("parameters of a small one, counted by hand", () => {
    const [d, q, c, r, n, v, all, groups] = [40, 16, 6, 4, 8, 8, 10, 2];
    const signal = all - groups;
    const attention =
      d * q +
      q +
      q * all * (n + r) +
      q * signal * v +
      d * (c + r) +
      c +
      c * groups * (n + v) +
      d * signal +
      signal * v * d;
    const layer = attention + 3 * d * 64 + 4 + 2 * d;
    expect(countParameters(read(small)).total).toBe(5 * layer + 2 * 100 * d + d);
  });
  test("what the publisher's class does not do is refused by its key", () => {
    for (const [key, value] of Object.entries({
      attention_cls: "basic",
      diff_v2: false,
      elementwise_attn_output_gate: false,
      headwise_attn_output_gate: true,
      k_ratio: 2,
      sliding_window_pattern: "random",
      sliding_window_period: 0,
      layer_types: ["brand_new"],
    }))
      refused({ ...small, [key]: value }, new RegExp(`^${key}: got`));
    refused({ ...small, num_noise_heads: 5 }, /^num_key_value_heads: got 2 of 10 heads, 5 of noise/);
  });
});

describe("Gemma 4's assistant", () => {
  const text = {
    model_type: "gemma4_text",
    vocab_size: 1000,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    global_head_dim: 32,
    sliding_window: 8,
    layer_types: [...Array(3).fill("sliding_attention"), "full_attention"],
    num_kv_shared_layers: 4,
    hidden_size_per_layer_input: 0,
  };
  const assistant = { model_type: "gemma4_assistant", backbone_hidden_size: 96, text_config: text };
  test("keeps nothing: its queries go over its model's caches", () => {
    const found = read(assistant);
    expect(held(found, 4096)).toBe(0);
    expect(found.assumed!.at(-1)).toMatch(/it attends to its model's caches/);
    const layer = (e: number) => 2 * 32 * 4 * e + e + 3 * 32 * 64 + 4 * 32 + 1;
    expect(countParameters(found).total).toBe(3 * layer(16) + layer(32) + 1000 * 32 + 32 + 3 * 32 * 96);
    const ordered = read({ ...assistant, use_ordered_embeddings: true, num_centroids: 50 });
    expect(countParameters(ordered).total - countParameters(found).total).toBe(50 * 32);
  });
  test("stands beside a model as its draft, without a cache of its own", () => {
    const model = read(presetOf("gemma-4-e4b")!.config);
    const { draft } = draftBy(model, read(assistant));
    expect(held({ ...model, layers: draft!.layers }, 4096)).toBe(0);
  });
  test("with layers that would keep something is refused", () => {
    refused(
      { ...assistant, text_config: { ...text, num_kv_shared_layers: 2 } },
      /^num_kv_shared_layers: got 2, expected all 4/,
    );
    for (const keys of [{ enable_moe_block: true }, { use_double_wide_mlp: true }, { hidden_size_per_layer_input: 8 }])
      refused({ ...assistant, text_config: { ...text, ...keys } }, new RegExp(`^${Object.keys(keys)[0]}: got`));
  });
});

test("a further token's layer of Qwen3.5 has attention, although three of four layers have a state", () => {
  const config = {
    model_type: "qwen3_5_text",
    vocab_size: 100,
    hidden_size: 64,
    num_hidden_layers: 5,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    linear_num_key_heads: 2,
    linear_num_value_heads: 4,
    linear_key_head_dim: 8,
    linear_value_head_dim: 8,
    intermediate_size: 96,
    mtp_num_hidden_layers: 1,
  };
  expect(kinds(read(config).draft!)).toEqual({ "GQA-gated": 1 });
});

describe("heads that propose tokens", () => {
  const eagle = {
    architectures: ["LlamaForCausalLMEagle3"],
    model_type: "llama",
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 1,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128_256,
    draft_vocab_size: 32_000,
    tie_word_embeddings: false,
  };
  test("EAGLE-3 of Llama-3.1-8B has the parameters of its file, 849 MB in float16, and a cache of one layer", () => {
    const found = read(eagle);
    const [d, f, own] = [4096, 14_336, 32_000];
    // Joining three states; twice as wide a layer; an MLP; a head; norms of the state, before each half, at the end.
    const layer = 2 * d * (4096 + 2 * 1024) + 4096 * d + 3 * d * f;
    expect(countParameters(found).total).toBe(3 * d * d + layer + own * d + 4 * d);
    expect((2 * countParameters(found).total) / 2 ** 20).toBeCloseTo(810, 0);
    expect(held(found, 1000)).toBe(1000 * 2 * 8 * 128 * 2);
  });
  test("joins as many states as its config names, as wide as its model's", () => {
    const total = (more: object) => countParameters(read({ ...eagle, ...more })).total;
    const usual = total({});
    expect(total({ eagle_config: { eagle_aux_hidden_state_layer_ids: [1, 2, 3, 4] } }) - usual).toBe(4096 ** 2);
    expect(total({ target_hidden_size: 8192 }) - usual).toBe(3 * 4096 ** 2);
    expect(usual - total({ eagle_config: { use_aux_hidden_state: false } })).toBe(3 * 4096 ** 2);
    for (const keys of [
      { draft_vocab_size: 0 },
      { target_hidden_size: -1 },
      { eagle_config: { eagle_aux_hidden_state_layer_ids: "1" } },
    ])
      expect(() => read({ ...eagle, ...keys })).toThrow(new RegExp(`^${Object.keys(keys)[0]}`));
  });
  test("EAGLE borrows the model's head and joins two", () => {
    const found = read({ ...eagle, architectures: ["EagleLlamaForCausalLM"] });
    const layer = 4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14_336;
    expect(countParameters(found).total).toBe(2 * 4096 ** 2 + 4096 + layer + 4096);
  });
  test("a head or a smaller model stands beside a model as its draft, tables of its own included", () => {
    const model = read(presetOf("llama-3.1-8b")!.config);
    const small = read(presetOf("llama-3.2-1b")!.config);
    for (const other of [read(eagle), small]) {
      const { draft } = draftBy(model, other);
      expect(countParameters(draftOf({ ...model, draft })!).total).toBe(countParameters(other).total);
    }
    expect(draftBy(model, small).assumed).toEqual(model.assumed);
    expect(draftBy(model, read(presetOf("gemma-3-1b")!.config)).assumed?.at(-1)).toMatch(/262144 tokens and .* 128256/);
  });
});

describe("Inkling", () => {
  const text = {
    num_hidden_layers: 66,
    hidden_size: 6144,
    vocab_size: 201_024,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    head_dim: 128,
    swa_num_attention_heads: 64,
    swa_num_key_value_heads: 16,
    swa_head_dim: 128,
    sliding_window_size: 512,
    local_layer_ids: Array.from({ length: 66 }, (_, i) => i).filter((i) => (i + 1) % 6),
    dense_mlp_idx: 2,
    dense_intermediate_size: 24_576,
    intermediate_size: 3072,
    n_routed_experts: 256,
    num_experts_per_tok: 6,
    n_shared_experts: 2,
    use_sconv: true,
    sconv_kernel_size: 4,
  };
  const config = (more: object = {}) => ({ model_type: "inkling_mm_model", text_config: { ...text, ...more } });
  test("keeps 11 layers whole, 512 tokens of 55, and three inputs of four convolutions in each", () => {
    const found = read(config());
    expect(kinds(found)).toEqual({ "GQA-relative 512": 55, "GQA-relative": 11 });
    const kept = 11 * 4096 * 2 * 8 * 128 + 55 * 512 * 2 * 16 * 128;
    const convolved = 3 * (11 * (2 * 8 * 128 + 2 * 6144) + 55 * (2 * 16 * 128 + 2 * 6144));
    expect(held(found, 4096)).toBe(2 * kept + 4 * convolved);
  });
  test("two dense layers of the publisher's file make the difference to the class's defaults", () => {
    // transformers 5.24.0 counts 975,340,287,042 where all layers have experts.
    const { total } = countParameters(read(config()));
    const sparse = (256 + 2) * (3 * 6144 * 3072 + 6144) + 256 + 1;
    expect(975_340_287_042 - total).toBe(2 * (sparse - (3 * 6144 * 24_576 + 1)));
  });
  test("its layers that propose tokens are dense, those named with a window", () => {
    const { draft } = read({
      ...config(),
      mtp_config: { num_nextn_predict_layers: 8, local_layer_ids: [0, 1, 2, 3, 4, 6] },
    });
    expect(kinds(draft!)).toEqual({ "GQA-relative 512": 6, "GQA-relative": 2 });
    expect(draft!.extra).toBe(8 * (2 * 6144 ** 2 + 2 * 6144));
  });
  test("a layer without short convolutions, or of another kind, is refused by the key", () => {
    refused(config({ use_sconv: false }), /^use_sconv: got false/);
    refused(config({ layer_types: ["hybrid", "mamba"] }), /^layer_types\.1: got/);
    refused(config({ number_of_conv_states: 3 }), /^number_of_conv_states: got 3/);
  });
});

test("Ernie-4.5-VL: a token of text visits experts of text alone, those of images are there", () => {
  const sizes = {
    num_hidden_layers: 3,
    hidden_size: 64,
    vocab_size: 100,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  };
  const experts = { moe_num_experts: 8, moe_k: 2, moe_num_shared_experts: 2, moe_intermediate_size: [48, 16] };
  const mlp_layer_types = ["dense", "sparse", "sparse"];
  const of = (more: object) =>
    countParameters(
      read({
        model_type: "ernie4_5_vl_moe_text",
        intermediate_size: 96,
        ...sizes,
        ...experts,
        mlp_layer_types,
        ...more,
      }),
    );
  const { total, active } = of({});
  expect(total - active).toBe(2 * 6 * 3 * 64 * 48);
  expect(total - of({ moe_intermediate_size: [48, 8] }).total).toBe(2 * 8 * 3 * 64 * 8);
  refused(
    { model_type: "ernie4_5_vl_moe_text", ...sizes, ...experts, moe_intermediate_size: [1, 2, 3] },
    /^moe_intermediate_size/,
  );
});
