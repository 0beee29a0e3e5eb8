import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cacheValues, stateValues } from "../src/attention/define.ts";
import { openModel } from "../src/checkpoint/open.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { type Blueprint, blueprintOf, countParameters } from "../src/cost/blueprint.ts";
import { biform } from "../src/family/biform.ts";
import type { Config } from "../src/family/config.ts";
import { families, familyOf } from "../src/family/families.ts";
import { memorySource } from "../src/file/bytes.ts";
import { fileSource } from "../src/file/disk.ts";
import { readOutline } from "../src/file/outline.ts";
import { openPlan } from "../src/plan/open.ts";
import { architectures } from "../src/plan/read/architecture.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { blueprintOfGguf } from "../src/plan/read/gguf.ts";
import { blueprintOfBlob, blueprintOfText } from "../src/plan/read/text.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { ggufOf, join as joined, key, line, list, text, u32 } from "./corpus/gguf.ts";
import { share } from "./extent.ts";
import * as small from "./fixture/checkpoint.ts";
import type { Json } from "./fixture/plain.ts";
import { counts, roundings } from "./fixture/published.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-read-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A blueprint as data: variants by name, layers in one order, and not where it is from. */
const plain = ({ layers, vocabulary, width, tied, extra, weightBytes }: Blueprint) => ({
  vocabulary,
  width,
  tied,
  extra,
  ...(weightBytes !== undefined && { weightBytes }),
  layers: layers
    .map(({ count, attention: { variant, sizes, window }, feed, extra }) => ({
      count,
      variant: variant.name,
      sizes,
      feed,
      extra,
      ...(window && { window }),
    }))
    .sort((a, b) => a.feed.always - b.feed.always || a.count - b.count),
});
const kinds = ({ layers }: Blueprint) =>
  Object.fromEntries(
    layers.map(({ count, attention: { variant, window }, keeping }) => [
      `${variant.name}${window ? ` ${window}` : ""}${keeping?.owner === undefined ? "" : " borrows"}`,
      count,
    ]),
  );
const published = (name: string) => [...counts, ...roundings].find(([own]) => own === name)![1];
const refused = (config: unknown, message: RegExp, reading = {}) => {
  expect(() => blueprintOfConfig(config as Config, "x", reading)).toThrow(message);
  expect(() => blueprintOfConfig(config as Config, "x", reading)).toThrow(FormatError);
};

describe("a config gives what the family that runs it gives", () => {
  const golden = globSync("../shared/golden/hf_*/ckpt/config.json", { cwd: `${import.meta.dirname}/..` });
  const fixtures: [string, Json][] = Object.entries(small).flatMap(([name, value]) =>
    typeof value === "object" && "model_type" in value ? [[name, value]] : [],
  );
  const varied: [string, Json][] = [
    ["llama with biases", { ...small.llama, attention_bias: true, mlp_bias: true, head_dim: 10 }],
    ["llama tied", { ...small.llama, tie_word_embeddings: true, num_key_value_heads: null }],
    ["qwen with biases", { ...small.qwen, attention_bias: true, rms_norm_eps: 1e-5 }],
    ["deepseek every second", { ...small.deepseek, num_hidden_layers: 6, moe_layer_freq: 2, first_k_dense_replace: 0 }],
    ["deepseek dense", { ...small.deepseek3, first_k_dense_replace: 9, attention_bias: true }],
    ["glm by list", { ...small.glm, mlp_layer_types: ["sparse", "dense", "sparse"] }],
  ];
  const hub: [string, Json][] = golden.map((path) => [
    path.split("/").at(-3)!,
    JSON.parse(readFileSync(join(import.meta.dirname, "..", path), "utf8")),
  ]);
  test.each([...fixtures, ...varied, ...hub])("%s", (_name, config) => {
    const read = JSON.parse(JSON.stringify(config));
    const family = familyOf(read.model_type);
    if (!family) return;
    // What weights are shipped in is no matter of the family's.
    const { weightBytes: _, ...planned } = plain(blueprintOfConfig(read, "x"));
    expect(planned).toEqual(plain(blueprintOf(family.model(read), "x")));
  });

  test("of every family there is one", () => {
    const types = new Set(fixtures.map(([, config]) => config.model_type));
    // Biform's own format says what runs, and needs no reader: test/own.test.ts plans it.
    const strangers = families.filter((family) => family !== biform);
    for (const { modelTypes } of strangers) expect(modelTypes.some((type) => types.has(type))).toBe(true);
    for (const { modelTypes } of strangers) for (const type of modelTypes) expect(architectures).toHaveProperty(type);
    if (existsSync(join(import.meta.dirname, "../../shared"))) expect(golden.length).toBeGreaterThan(5);
  });
});

describe("parameters are those that were published", () => {
  test.each(counts)("exactly: %s", (_, config, total) => {
    expect(countParameters(blueprintOfConfig(config, "x")).total).toBe(total);
  });

  // Publishers round, and count the vocabulary's tables among active parameters or not: of the total 2 %, of the active ones as
  // much as these tables and half of the last digit that is given.
  for (const [name, config, total, active] of roundings)
    test(`as rounded: ${name}`, () => {
      const found = countParameters(blueprintOfConfig(config, "x"));
      expect(Math.abs(found.total / 1e9 / total - 1)).toBeLessThan(0.025);
      if (active !== undefined)
        expect(Math.abs(found.active / 1e9 - active)).toBeLessThan(found.tables / 1e9 + 0.04 * active + 0.5);
    });
});

describe("which layers keep what", () => {
  test.each([
    ["gemma2-27b", { "GQA 4096": 23, GQA: 23 }],
    ["gemma3-270m", { "GQA 512": 15, GQA: 3 }],
    ["gpt-oss-20b", { "GQA 128": 12, GQA: 12 }],
    ["command-r7b", { "GQA 4096": 24, GQA: 8 }],
    ["mistral7b", { "GQA 4096": 32 }],
    ["scout text", { "GQA 8192": 36, GQA: 12 }],
    ["hunyuan-large", { GQA: 32, "GQA-borrowing borrows": 32 }],
    ["qwen3next", { GDN: 36, "GQA-gated": 12 }],
    ["kimi-linear", { KDA: 20, MLA: 7 }],
    ["k3", { "KDA-fullgate": 69, "MLA-gated": 24 }],
    ["minimax01", { Lightning: 70, GQA: 10 }],
    ["gemma4-31b", { "GQA 1024": 50, "GQA-KV": 10 }],
  ])("%s", (name, wanted) => {
    const found = blueprintOfConfig(published(name), "x");
    const merged: Record<string, number> = {};
    for (const { count, attention: a, keeping } of found.layers) {
      const kind = `${a.variant.name}${a.window ? ` ${a.window}` : ""}${keeping?.owner === undefined ? "" : " borrows"}`;
      merged[kind] = (merged[kind] ?? 0) + count;
    }
    expect(merged).toEqual(wanted);
  });

  test("patterns begin with windows: Gemma 3 27B sees everything in layers 6, 12 ... 60 of 62", () => {
    for (const name of ["gemma2-27b", "gemma3-270m", "gpt-oss-20b", "command-r7b"])
      expect(blueprintOfConfig(published(name), "x").layers[0]!.attention.window).toBeGreaterThan(0);
    const config = { ...published("gemma3-270m"), num_hidden_layers: 62 };
    expect(kinds(blueprintOfConfig(config, "x"))).toEqual({ "GQA 512": 52, GQA: 10 });
  });

  test("Gemma 3n: the last 15 of 35 layers keep nothing of their own", () => {
    const { layers } = blueprintOfConfig(published("gemma3n e4b text"), "x");
    expect(layers.reduce((sum, { count, keeping }) => sum + (keeping ? count : 0), 0)).toBe(15);
  });

  test("DeepSeek-V4: windows, entries of 4 tokens with an indexer, entries of 128", () => {
    const { layers } = blueprintOfConfig(published("v4flash"), "x");
    const found = layers.map(({ count, attention: { variant, sizes, window }, keeping }) => ({
      count,
      window,
      keeping,
      cache: cacheValues(variant, sizes),
    }));
    expect(found).toContainEqual({
      count: 20,
      window: undefined,
      keeping: { every: 128, recent: 128 },
      cache: 512,
    });
    expect(found.filter(({ window }) => window === 128).reduce((sum, { count }) => sum + count, 0)).toBe(2);
    const sparse = found.filter(({ keeping }) => keeping?.every === 4);
    expect(sparse.reduce((sum, { count }) => sum + count, 0)).toBe(21);
    for (const { cache } of sparse) expect(cache).toBe(512 + 128);
  });

  test("LongCat-Flash: two layers of attention in each of 28 blocks, experts in one of them", () => {
    const { layers } = blueprintOfConfig(
      {
        model_type: "longcat_flash",
        vocab_size: 131072,
        hidden_size: 6144,
        ffn_hidden_size: 12288,
        num_layers: 28,
        expert_ffn_hidden_size: 2048,
        num_attention_heads: 64,
        q_lora_rank: 1536,
        kv_lora_rank: 512,
        qk_nope_head_dim: 128,
        qk_rope_head_dim: 64,
        v_head_dim: 128,
        n_routed_experts: 512,
        moe_topk: 12,
        zero_expert_num: 256,
      },
      "x",
    );
    expect(layers.map(({ count, feed: { experts, chosen } }) => [count, experts, chosen])).toEqual([
      [28, 512, 8],
      [28, 0, 0],
    ]);
  });

  test("GLM with shared indexers: layers without one keep no index", () => {
    const config = {
      ...published("glm5"),
      indexer_types: Array.from({ length: 78 }, (_, i) => (i % 4 ? "shared" : "full")),
    };
    const found = kinds(blueprintOfConfig(config, "x"));
    expect(found["DSA-shared"]! + found.DSA!).toBeGreaterThan(0);
    const { layers } = blueprintOfConfig(config, "x");
    const values = (name: string) =>
      layers.flatMap(({ attention: { variant, sizes } }) => (variant.name === name ? cacheValues(variant, sizes) : []));
    expect(new Set(values("DSA"))).toEqual(new Set([576 + 128]));
    expect(new Set(values("DSA-shared"))).toEqual(new Set([576]));
  });

  test("the truths of the issue: DeepSeek-R1 and V2-Lite", () => {
    const values = (config: Json) =>
      blueprintOfConfig(config, "x").layers.reduce(
        (sum, { count, attention: { variant, sizes } }) => sum + count * cacheValues(variant, sizes),
        0,
      );
    const v3 = { ...published("k2"), model_type: "deepseek_v3", num_attention_heads: 128 };
    expect((values(v3) * 2 * 163_840) / 2 ** 30).toBeCloseTo(10.72, 2);
    expect(values({ ...published("v2"), num_hidden_layers: 27 })).toBe(15_552);
  });

  test("a state is that of the paper: Kimi Linear's heads of 128 x 128 and three convolutions", () => {
    const { layers } = blueprintOfConfig(published("kimi-linear"), "x");
    const { attention } = layers.find(({ attention }) => attention.variant.name === "KDA")!;
    expect(stateValues(attention.variant, attention.sizes)).toBe(32 * 128 * 128 + 3 * 3 * 32 * 128);
  });
});

describe("configs that are refused say which key and why", () => {
  const llama = { ...small.llama };
  const deepseek = { ...small.deepseek3 };
  test.each<[Json, RegExp]>([
    [{}, /none of the keys that decide about attention .* expected the config\.json of a language model/],
    [{ model_type: "bert-ish", vocab_size: 30522 }, /none of the keys that decide/],
    [{ ...llama, num_attention_heads: undefined }, /num_attention_heads: got nothing, expected a number .*n_head/],
    [{ ...llama, num_key_value_heads: 3 }, /num_key_value_heads: got 3, expected a divisor of the 4 attention heads/],
    [{ ...llama, num_key_value_heads: 0 }, /num_key_value_heads: got 0/],
    [{ ...llama, hidden_size: 25 }, /head_dim: got nothing, and hidden_size 25 is no multiple of 4 heads/],
    [{ ...llama, num_hidden_layers: -1 }, /num_hidden_layers: got -1, expected .*>=1/],
    [{ ...llama, num_hidden_layers: 1e9 }, /num_hidden_layers: got 1000000000, expected .*<=512/],
    [{ ...llama, hidden_size: 2.5 }, /hidden_size: got 2\.5, expected int/],
    [{ ...llama, hidden_size: "4096" }, /hidden_size: got "4096", expected number/],
    [{ ...llama, vocab_size: null }, /vocab_size: got null, expected number/],
    [
      { ...llama, intermediate_size: [1, 2, 3], num_hidden_layers: 4 },
      /intermediate_size: got 3 entries, expected one for each/,
    ],
    [{ ...llama, layer_types: ["full_attention", "mamba"] }, /layer_types: got "mamba", expected full_attention/],
    [{ ...llama, layer_types: ["full_attention", "sliding_attention"] }, /sliding_window: got nothing/],
    [{ ...deepseek, kv_lora_rank: undefined }, /kv_lora_rank: got nothing/],
    [{ ...deepseek, qk_rope_head_dim: 7 }, /qk_rope_head_dim: got 7, expected an even number/],
    [{ ...deepseek, qk_head_dim: 5 }, /qk_head_dim: got 5, expected 14/],
    [{ ...deepseek, num_experts_per_tok: 9 }, /num_experts_per_tok: got 9, expected at most the 8 experts/],
    [{ ...deepseek, model_type: "deepseek_v32" }, /index_topk: got nothing/],
    [
      {
        ...deepseek,
        hidden_size: 2 ** 17,
        moe_intermediate_size: 2 ** 20,
        n_routed_experts: 4096,
        num_experts_per_tok: 4096,
        num_hidden_layers: 512,
      },
      /config: got 8\.\d+e\+17 parameters, expected fewer than 2\^53/,
    ],
    [
      { ...llama, model_type: "qwen33" },
      /model_type: got "qwen33", expected an architecture that is known \(the nearest is qwen3\); what decides is .*num_attention_heads 4, num_key_value_heads 2.*--as GQA/,
    ],
    [{ ...deepseek, model_type: "new" }, /kv_lora_rank 12.*--as MLA/],
    [{ ...llama, model_type: "__proto__" }, /an architecture that is known/],
    [{ ...llama, model_type: { a: 1 } }, /model_type: got \{"a":1\}/],
  ])("%#", (config, message) => refused(JSON.parse(JSON.stringify(config)), message));

  test("texts that are no config", () => {
    expect(() => blueprintOfText("<html>", "a/config.json")).toThrow(/a\/config\.json: got no JSON/);
    expect(() => blueprintOfText("[]", "config.json")).toThrow(/config\.json: got a list, expected an object/);
    expect(() => blueprintOfText("3", "config.json")).toThrow(FormatError);
    expect(() => blueprintOfText("{}", "f")).toThrow(/^f: config: got none of the keys/);
  });

  test("nesting without end stops", () => {
    const deep = `${'{"text_config":'.repeat(5000)}{}${"}".repeat(5000)}`;
    expect(() => blueprintOfText(deep, "f")).toThrow(FormatError);
  });
});

describe("a key that can change caches or attention and that nobody reads is refused by its name", () => {
  test("whatever the architecture", () => {
    const refusing = {
      compress_ratios: [4, 4],
      index_kpool: 4,
      kv_source_layer_ids: [0],
      linear_attn_config: { num_heads: 2 },
    };
    for (const [key, value] of Object.entries(refusing))
      refused({ ...small.llama, [key]: value }, new RegExp(`^${key}: got ${key} .*not known here`));
    refused({ ...small.llama, index_topk: 8 }, /^index_topk: /);
    refused({ ...small.deepseek3, sliding_window_size: 64 }, /^sliding_window_size: /);
  });
  test("one that is null, false, none or nothing says that something is absent", () => {
    const wanted = plain(blueprintOfConfig(small.llama, "x"));
    for (const value of [null, false, 0, -1, "", [], [0, 0]])
      expect(plain(blueprintOfConfig({ ...small.llama, compress_ratios: value }, "x"))).toEqual(wanted);
  });
  test("one that changes nothing of the kind passes", () => {
    const more = {
      attention_dropout: 0.1,
      rope_scaling: { type: "linear", factor: 2 },
      vision_config: { num_heads: 3 },
    };
    expect(plain(blueprintOfConfig({ ...small.llama, ...more }, "x"))).toEqual(
      plain(blueprintOfConfig(small.llama, "x")),
    );
  });
});

describe("--as names the variant", () => {
  const config = { ...small.llama, model_type: "brand-new" };
  test("GQA, MHA and MQA take the config's sizes", () => {
    const own = plain(blueprintOfConfig(small.llama, "x"));
    expect(plain(blueprintOfConfig(config, "x", { as: "GQA" }))).toEqual(own);
    const cache = (as: string) => {
      const { variant, sizes } = blueprintOfConfig(config, "x", { as }).layers[0]!.attention;
      return cacheValues(variant, sizes);
    };
    expect([cache("MHA"), cache("GQA"), cache("MQA")]).toEqual([48, 24, 12]);
  });
  test("MLA takes the config's, or the spec's where the config has none", () => {
    expect(
      plain(blueprintOfConfig({ ...small.deepseek3, model_type: "brand-new" }, "x", { as: "MLA" })).layers.map(
        ({ variant, sizes }) => ({ variant, sizes }),
      ),
    ).toEqual(plain(blueprintOfConfig(small.deepseek3, "x")).layers.map(({ variant, sizes }) => ({ variant, sizes })));
    const { sizes } = blueprintOfConfig(config, "x", { as: "MLA:c40" }).layers[0]!.attention;
    expect(sizes).toMatchObject({ d: 24, h: 4, c: 40, r: 64, n: 128 });
  });
  test("a pattern is repeated over the layers", () => {
    const found = blueprintOfConfig({ ...config, num_hidden_layers: 8 }, "x", { as: "[KDA*3,GQA]" });
    expect(kinds(found)).toEqual({ KDA: 6, GQA: 2 });
  });
  test("sizes that a config lacks can be given; a wrong spec is refused", () => {
    const { intermediate_size: _, vocab_size: __, ...less }: Json = config;
    const read = blueprintOfConfig(less, "x", { as: "GQA", given: { intermediate_size: 20, vocab_size: 40 } });
    expect(plain(read)).toEqual(plain(blueprintOfConfig(small.llama, "x")));
    expect(() => blueprintOfConfig(config, "x", { as: "NOPE" })).toThrow(ShapeError);
  });
});

describe("GGUF headers", () => {
  test.each(["llama", "qwen3", "deepseek2", "deepseek2-moe", "deepseek3-moe", "minicpm3"] as const)(
    "%s: a file, its header alone and a Blob give what the model gives, and the file's own count",
    async (preset) => {
      const file = join(dir, `${preset}.gguf`);
      await writeSampleGguf(file, presetConfig(preset, "tiny"), { seed: 1, type: "Q8_0" });
      const { model, tensors } = await openModel(file);
      const wanted = plain(blueprintOf(model, "x"));
      const read = await openPlan(file);
      const { weightBytes, ...rest } = plain(read);
      expect(rest).toEqual(wanted);
      const sum = (what: (name: string) => number) => tensors.names.reduce((total, name) => total + what(name), 0);
      const tables = /^rope_/;
      expect(weightBytes).toBe(
        sum((name) => (tables.test(name) ? 0 : tensors.entry(name).end - tensors.entry(name).begin)),
      );
      const bytes = readFileSync(file);
      const { metadata } = await readOutline(await fileSource(file));
      expect(metadata.size).toBeGreaterThan(5);
      const start = Math.min(...tensors.names.map((name) => tensors.entry(name).begin));
      expect(
        plain(blueprintOfGguf(await readOutline(memorySource("cut.gguf", bytes.subarray(0, start))), "x")),
      ).toEqual(plain(read));
      expect(plain(await blueprintOfBlob(new Blob([bytes.subarray(0, start)]), "cut.gguf"))).toEqual(plain(read));
      await expect(blueprintOfBlob(new Blob([bytes.subarray(0, start >> 1)]), "cut.gguf")).rejects.toThrow(
        /^cut\.gguf: byte .*rest of the file/,
      );
    },
  );

  const s = (name: string, value: string) => key(name, 8, text(value));
  const n = (name: string, value: number) => key(name, 4, u32(value));
  const base = (arch: string) => [
    s("general.architecture", arch),
    ...[
      ["embedding_length", 64],
      ["block_count", 2],
      ["feed_forward_length", 96],
      ["context_length", 512],
      ["attention.head_count", 4],
      ["attention.head_count_kv", 2],
    ].map(([name, value]) => n(`${arch}.${name}`, value as number)),
  ];
  const layer = (i: number, type = 2) => [
    line(`blk.${i}.attn_q.weight`, [64, 64], type),
    ...["k", "v"].map((part) => line(`blk.${i}.attn_${part}.weight`, [64, 32], type)),
    line(`blk.${i}.attn_output.weight`, [64, 64], type),
    ...["gate", "up"].map((part) => line(`blk.${i}.ffn_${part}.weight`, [64, 96], type)),
    line(`blk.${i}.ffn_down.weight`, [96, 64], type),
    ...["attn", "ffn"].map((part) => line(`blk.${i}.${part}_norm.weight`, [64])),
  ];
  const tables = [line("token_embd.weight", [64, 100], 20), line("output_norm.weight", [64])];
  const outline = (keys: Uint8Array[], tensors: Uint8Array[] = []) =>
    readOutline(memorySource("x.gguf", ggufOf({ keys, tensors })));
  const total = 100 * 64 + 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96 + 2 * 64);

  test("an architecture that is not known is read by its keys and tensors, of types that Biform cannot load", async () => {
    const found = blueprintOfGguf(await outline(base("novel"), [...tables, ...layer(0, 23), ...layer(1, 39)]), "novel");
    expect(found).toMatchObject({ architecture: "novel", vocabulary: 100, width: 64, tied: true, maxContext: 512 });
    expect(countParameters(found).total).toBe(total);
    expect(kinds(found)).toEqual({ GQA: 2 });
  });

  test("a header in parts gives a plan from its keys, without bytes", async () => {
    const keys = [...base("llama"), n("llama.vocab_size", 100), n("split.count", 3)];
    const found = blueprintOfGguf(await outline(keys, layer(0)), "x");
    expect(found.weightBytes).toBeUndefined();
    expect(found.assumed!.join()).toMatch(/of 3 parts not all are here, so weights are counted as bfloat16/);
    expect(found).toMatchObject({ vocabulary: 100, tied: false });
    const bare = blueprintOfGguf(await outline(keys), "x");
    expect(plain(bare)).toEqual(plain(found));
  });

  test("lists by layer: groups, windows", async () => {
    const keys = [
      ...base("novel").slice(0, -1),
      list("novel.attention.head_count_kv", 4, 2, u32(2, 4)),
      n("novel.attention.sliding_window", 16),
      list("novel.attention.sliding_window_pattern", 7, 2, Uint8Array.of(1, 0)),
      n("novel.vocab_size", 100),
    ];
    const { layers } = blueprintOfGguf(await outline(keys), "x");
    expect(layers.map(({ attention: { sizes, window } }) => [sizes.g, window])).toEqual([
      [2, 16],
      [4, undefined],
    ]);
  });

  test("headers that are refused", async () => {
    const rejects = async (keys: Uint8Array[], tensors: Uint8Array[], message: RegExp) => {
      const read = await outline(keys, tensors);
      expect(() => blueprintOfGguf(read, "x")).toThrow(message);
      expect(() => blueprintOfGguf(read, "x")).toThrow(FormatError);
    };
    await rejects([], [], /x\.gguf: general\.architecture: got nothing/);
    await rejects([s("general.architecture", "llama")], [], /x\.gguf: .*got .*expected number/);
    await rejects(base("llama"), [...tables, ...layer(0)], /keys that speak of \d+, expected the same but for 2 %/);
    await rejects(
      [...base("novel"), n("novel.ssm.state_size", 16)],
      tables,
      /novel\.ssm\.state_size, expected one whose layers are known.*--as/,
    );
    const huge = Array.from({ length: 3 }, (_, i) => line(`a${i}`, [2 ** 50, 4]));
    await rejects(base("llama"), [...tables, ...layer(0), ...layer(1), ...huge], /expected fewer than 2\^53/);
    await expect(readOutline(memorySource("x", joined(new TextEncoder().encode("GGUF"), u32(9))))).rejects.toThrow(
      /version 9/,
    );
  });

  test("--as names the variant of a header too, with all sizes where a key says what it cannot", async () => {
    const header = await outline([...base("novel"), n("novel.ssm.state_size", 16), n("novel.vocab_size", 100)]);
    const found = blueprintOfGguf(header, "x", { as: "[GDN:h4:n16:v8,GQA2:n4:r4]" });
    expect(kinds(found)).toEqual({ GDN: 1, GQA: 1 });
    expect(found.assumed).toEqual([expect.stringMatching(/novel\.ssm\.state_size is not read/)]);
    expect(() => blueprintOfGguf(header, "x", { as: "[GDN,GQA]" })).toThrow(/--as \[GDN,GQA\].*cannot say/);
  });
});

describe("what a user names", () => {
  test("a folder, its config, a preset, specs with sizes", async () => {
    const config = join(dir, "config.json");
    await writeFile(config, JSON.stringify(small.llama));
    expect(plain(await openPlan(config))).toEqual(plain(blueprintOfConfig(small.llama, "x")));
    expect(plain(await openPlan(dir))).toEqual(plain(await openPlan(config)));
    expect((await openPlan(dir)).name).toBe(dir.split("/").at(-1));
    await rm(config);
    const r1 = await openPlan("DeepSeek-R1");
    expect(r1).toMatchObject({ name: "deepseek-r1", width: 7168 });
    expect(r1.source).toBeTruthy();
    const mla = await openPlan("MLA:n128:r64:v128:c512");
    expect([mla.width, countParameters(mla).total]).toEqual([2048, 894_341_120]);
    const pattern = await openPlan("[GQA2-128*3,MLA]", {
      width: 256,
      heads: 4,
      layers: 8,
      vocabulary: 1000,
      tied: true,
    });
    expect(pattern).toMatchObject({ width: 256, vocabulary: 1000, tied: true });
    expect(kinds(pattern)).toEqual({ GQA: 6, MLA: 2 });
  });

  test("what is none of these is refused with what is near", async () => {
    await expect(openPlan("deepsek-r1")).rejects.toThrow(/the nearest is deepseek-r1/);
    await expect(openPlan("glm-5.3")).rejects.toThrow(/the nearest is glm-5\.3-flash/);
    await expect(openPlan("gone/config.json")).rejects.toThrow(/got no such file or folder, expected a config\.json/);
    await expect(openPlan("MLA-wrong")).rejects.toThrow(ShapeError);
    await expect(openPlan("MLA", { width: 2.5 })).rejects.toThrow(/width: got 2\.5/);
    await expect(openPlan(dir)).rejects.toThrow(/GGUF files, expected one of either/);
    const junk = join(dir, "model.safetensors");
    await writeFile(junk, "junk");
    await expect(openPlan(junk)).rejects.toThrow(/neither, expected a config\.json or a GGUF file/);
    await writeFile(join(dir, "empty"), "");
    await expect(openPlan(join(dir, "empty"))).rejects.toThrow(/got no JSON/);
  });
});

describe("whatever stands in a config", () => {
  const value = fc.oneof(
    fc.constantFrom<unknown>(null, true, false, 0, 1, 2, 4, 8, 64, 128, 512, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, "", "x"),
    fc.integer({ min: -10, max: 300 }),
    fc.array(fc.oneof(fc.integer({ min: -2, max: 9 }), fc.constantFrom("full_attention", "sliding_attention", "x")), {
      maxLength: 9,
    }),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const sane = (blueprint: Blueprint) => {
    const { total, active, tables } = countParameters(blueprint);
    for (const x of [
      total,
      active,
      tables,
      blueprint.extra,
      ...blueprint.layers.flatMap(({ feed }) => Object.values(feed)),
    ])
      expect(Number.isSafeInteger(x)).toBe(true);
    for (const {
      count,
      attention: { variant, sizes, window },
    } of blueprint.layers) {
      expect(count).toBeGreaterThan(0);
      for (const form of Object.values(variant.forms))
        for (const x of Object.values(form.cost(sizes)))
          if (typeof x === "number") expect(Number.isFinite(x)).toBe(true);
      expect(Number.isFinite(cacheValues(variant, sizes) + stateValues(variant, sizes) + (window ?? 0))).toBe(true);
    }
  };
  const attempt = (read: () => Blueprint) => {
    let found: Blueprint;
    try {
      found = read();
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof ShapeError)) throw error;
      expect(error.message.length).toBeLessThan(1500);
      return;
    }
    sane(found);
  };

  test("keys of any model with other values", () => {
    const models = [...counts, ...roundings].map(([, config]) => config);
    const other = fc.constantFrom(...models).chain((config) => {
      const inside = (config.text_config ?? config) as Json;
      const changes = fc.dictionary(
        fc.constantFrom(...Object.keys(inside), "layer_types", "sliding_window", "head_dim"),
        value,
        { maxKeys: 3 },
      );
      return changes.map((changed) =>
        config.text_config ? { ...config, text_config: { ...inside, ...changed } } : { ...config, ...changed },
      );
    });
    fc.assert(
      fc.property(other, (config) => attempt(() => blueprintOfConfig(config as Config, "x"))),
      { numRuns: share(1500) },
    );
  });

  test("any JSON, of any architecture", () => {
    const json = fc.record(
      {
        model_type: fc.oneof(fc.constantFrom(...Object.keys(architectures)), value),
        ...Object.fromEntries(
          "hidden_size num_hidden_layers num_attention_heads num_key_value_heads vocab_size intermediate_size text_config"
            .split(" ")
            .map((name) => [name, value]),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(json, (config) => attempt(() => blueprintOfText(JSON.stringify(config), "x"))),
      { numRuns: share(1500) },
    );
    fc.assert(fc.property(fc.json(), (any) => attempt(() => blueprintOfText(any, "x"))));
    fc.assert(fc.property(fc.string(), (any) => attempt(() => blueprintOfText(any, "x"))));
  });
});
