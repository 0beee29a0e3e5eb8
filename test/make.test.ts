import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { type Preset, presetConfig, presets } from "../src/checkpoint/preset.ts";
import { ggufMetadata, ggufTensors, type ReadRows, recast } from "../src/checkpoint/recast.ts";
import { sampleTensors, writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { inventVocabulary } from "../src/checkpoint/vocabulary.ts";
import { collect } from "../src/convert/stack.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { Source, Sources } from "../src/family/source.ts";
import type { MlaLayout } from "../src/family/table.ts";
import type { Value } from "../src/file/metadata.ts";
import { type GgufTensor, writeGguf } from "../src/file/writer.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf } from "../src/model/model.ts";
import { FormatError } from "../src/tensor/error.ts";
import { loadTokenizer } from "../src/tokenizer/tokenizer.ts";
import { long } from "./extent.ts";
import { deepseek, deepseek3, kimi, ling, llama, llama3, longrope, minicpm, qwen, yarn } from "./fixture/checkpoint.ts";
import type { Json } from "./fixture/plain.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-sample-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** LongRoPE in two ranges, as a GGUF file has it: from the model's own length on. */
const spread = { ...longrope, factor: 1, original_max_position_embeddings: 32 };

const ids = Int32Array.of(3, 117, 58, 239, 100, 21, 21, 305, 30);

/** Logits of a model on disk, in its last form. */
async function logits(path: string): Promise<ArrayLike<number>> {
  const device = new ReferenceDevice();
  const { model, weights } = await loadModel(path, device);
  const session = new Session(model, weights, { context: ids.length });
  return session.append(ids, { form: formsOf(model).at(-1)! }).read();
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

/** A preset cut down to what float64 runs quickly. */
function small(preset: Preset): Json {
  const config = { ...presetConfig(preset, "tiny"), hidden_size: 64, intermediate_size: 96, vocab_size: 320 } as Json;
  if (config.kv_lora_rank) Object.assign(config, { kv_lora_rank: 64, q_lora_rank: 96 });
  if (config.moe_intermediate_size) config.moe_intermediate_size = 64;
  if (preset === "llama") config.head_dim = 16;
  return config;
}

/** Every preset in one of both layouts, by turns, or in both. */
const both = presets.flatMap((preset, i) =>
  (["absorbed", "joint"] as const)
    .filter((_, j) => long || (i + j) % 2 === 0)
    .map((layout) => [preset, layout] as const),
);

describe("one model of random weights as a folder and as a GGUF file", () => {
  test.each(both)("gives the same logits: %s, %s", async (preset, layout) => {
    const config = small(preset);
    const [folder, file] = [join(dir, "folder"), join(dir, "model.gguf")];
    const sample = { seed: 5, type: "F32", layout } as const;
    await writeSampleFolder(folder, config, sample);
    await writeSampleGguf(file, config, sample);
    const [a, b] = [await logits(folder), await logits(file)];
    // The same numbers, but for what a file keeps in float32: yarn's multiplier, LongRoPE's factors.
    expect(distance(a, b)).toBeLessThan(1e-5);
    const largest = Math.max(...Array.from(a, Math.abs));
    expect(largest).toBeGreaterThan(2);
    expect(largest).toBeLessThan(20);
  });

  test.each(["F16", "BF16"] as const)("holds the same rounded numbers in %s", async (type) => {
    const config = small("deepseek2-moe");
    const [folder, file] = [join(dir, "folder"), join(dir, "model.gguf")];
    await writeSampleFolder(folder, config, { seed: 5, type });
    await writeSampleGguf(file, config, { seed: 5, type });
    expect(distance(await logits(folder), await logits(file))).toBeLessThan(1e-5);
  });

  test.each([
    ["Q8_0", 0.02],
    ["Q6_K", 0.1],
    ["Q4_0", 0.4],
    ["Q4_K", 0.4],
  ] as const)("is near in %s", async (type, bound) => {
    const config = presetConfig("deepseek2", "tiny");
    const [exact, file] = [join(dir, "exact.gguf"), join(dir, "model.gguf")];
    await writeSampleGguf(exact, config, { seed: 5, type: "F32" });
    await writeSampleGguf(file, config, { seed: 5, type });
    const [a, b] = [Array.from(await logits(exact)), Array.from(await logits(file))];
    const size = (x: number[]) => Math.sqrt(x.reduce((sum, y) => sum + y * y, 0));
    const apart = size(a.map((x, i) => x - b[i]!)) / size(a);
    expect(apart).toBeGreaterThan(1e-4);
    expect(apart).toBeLessThan(bound);
  });

  test.each<[string, Json]>([
    [
      "Llama with llama3 scaling, biases and tied embeddings",
      {
        ...llama,
        hidden_size: 32,
        num_attention_heads: 4,
        rope_theta: 500,
        rope_scaling: llama3,
        attention_bias: true,
        mlp_bias: true,
        tie_word_embeddings: true,
      },
    ],
    ["Llama with linear scaling", { ...llama, head_dim: 10, rope_scaling: { type: "linear", factor: 4 } }],
    ["Qwen3 with YaRN, tied", { ...qwen, tie_word_embeddings: true, rope_scaling: yarn }],
    ["DeepSeek-V2 without query LoRA", deepseek],
    ["DeepSeek-V2 with groups", { ...deepseek, topk_method: "group_limited_greedy", n_group: 4, topk_group: 2 }],
    ["DeepSeek-V2 with YaRN and no mscale", { ...deepseek, rope_scaling: yarn }],
    [
      "DeepSeek-V3 with biases, its weights not normalised",
      { ...deepseek3, attention_bias: true, norm_topk_prob: false },
    ],
    ["MiniCPM3 with its own width of values", { ...minicpm, scale_emb: 12, dim_model_base: 256, v_head_dim: 7 }],
  ])("that no preset has gives the same logits: %s", async (_what, drawn) => {
    const config: Json = { ...drawn, vocab_size: 320 };
    for (const layout of ["absorbed", "joint"] as const) {
      const [folder, file] = [join(dir, "folder"), join(dir, "model.gguf")];
      await writeSampleFolder(folder, config, { seed: 7, type: "F32" });
      await writeSampleGguf(file, config, { seed: 7, type: "F32", layout });
      expect(distance(await logits(folder), await logits(file))).toBeLessThan(1e-5);
    }
  });
});

describe("a GGUF file is written as llama.cpp's converter writes it", () => {
  const layersOf = (config: Json, layout: MlaLayout) => {
    const folder = sampleTensors({ ...config, vocab_size: 320 }, { seed: 7 });
    const list = ggufTensors({ ...config, vocab_size: 320 }, folder, "F32", layout);
    const names = list.map(({ name }) => name);
    const read = async (name: string) => (list.find((t) => t.name === name)!.data as () => Promise<Float32Array>)();
    return { folder, names, read };
  };
  const inLayer = (names: readonly string[], i: number) =>
    names.flatMap((name) => (name.startsWith(`blk.${i}.`) ? [name.slice(6)] : [])).sort();

  test("by its names", () => {
    const norms = ["attn_norm.weight", "ffn_norm.weight"];
    const dense = ["ffn_down.weight", "ffn_gate.weight", "ffn_up.weight"];
    const heads = ["attn_k.weight", "attn_output.weight", "attn_q.weight", "attn_v.weight"];
    const latent = ["attn_kv_a_mqa.weight", "attn_kv_a_norm.weight", "attn_output.weight"];
    const twice = ["attn_q_a.weight", "attn_q_a_norm.weight", "attn_q_b.weight"];
    const mixture = ["exp_probs_b.bias", "ffn_gate_inp.weight"].concat(
      ...["exps", "shexp"].map((tail) => ["gate", "up", "down"].map((part) => `ffn_${part}_${tail}.weight`)),
    );
    const { names } = layersOf(llama, "absorbed");
    expect(inLayer(names, 0)).toEqual([...norms, ...dense, ...heads].sort());
    expect(names.filter((name) => !name.startsWith("blk."))).toEqual([
      "token_embd.weight",
      "output_norm.weight",
      "output.weight",
    ]);
    const scaled = layersOf({ ...llama, rope_scaling: llama3 }, "absorbed").names;
    expect(scaled.filter((name) => !names.includes(name))).toEqual(["rope_freqs.weight"]);
    const normed = layersOf(qwen, "absorbed").names.filter(
      (name) => !names.includes(name) && name.startsWith("blk.0."),
    );
    expect(normed).toEqual(["blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight"]);
    const apart = ["attn_k_b.weight", "attn_v_b.weight"];
    const absorbed = layersOf(deepseek3, "absorbed").names;
    expect(inLayer(absorbed, 0)).toEqual([...norms, ...dense, ...latent, ...twice, ...apart].sort());
    expect(inLayer(absorbed, 1)).toEqual([...norms, ...mixture, ...latent, ...twice, ...apart].sort());
    const joint = layersOf(deepseek, "joint").names;
    expect(inLayer(joint, 0)).toEqual([...norms, ...dense, ...latent, "attn_q.weight", "attn_kv_b.weight"].sort());
    const factors = layersOf(
      { ...minicpm, scale_emb: 12, dim_model_base: 256, rope_scaling: spread },
      "absorbed",
    ).names;
    expect(factors.slice(0, 2)).toEqual(["rope_factors_long.weight", "rope_factors_short.weight"]);
    expect(inLayer(factors, 0)).toEqual([...norms, ...dense, ...latent, ...twice, "attn_kv_b.weight"].sort());
    // KDA, with gates through bottlenecks or of one matrix each, and MLA without query LoRA or with a gate.
    const delta = ["q", "k", "v"]
      .flatMap((part) => [`attn_${part}.weight`, `ssm_conv1d_${part}.weight`])
      .concat(
        ["ssm_a", "ssm_beta.weight", "ssm_dt.bias", "ssm_norm.weight", "ssm_f_a.weight", "ssm_g_a.weight"],
        "attn_output.weight",
      );
    const bottlenecks = ["ssm_f_b.weight", "ssm_g_b.weight"];
    const linear = layersOf(kimi, "absorbed").names;
    expect(inLayer(linear, 0)).toEqual([...norms, ...dense, ...delta, ...bottlenecks].sort());
    expect(inLayer(linear, 1)).toEqual([...norms, ...mixture, ...delta, ...bottlenecks].sort());
    expect(inLayer(linear, 2)).toEqual([...norms, ...mixture, ...latent, "attn_q.weight", ...apart].sort());
    const bounded = layersOf(ling, "absorbed").names;
    expect(inLayer(bounded, 0)).toEqual([...norms, ...dense, ...delta].sort());
    expect(inLayer(bounded, 2)).toEqual(
      [...norms, ...mixture, ...latent, ...twice, ...apart, "attn_gate.weight"].sort(),
    );
  });

  test("by its keys", () => {
    const said = (config: Json, layout: MlaLayout) =>
      Object.fromEntries(
        [...ggufMetadata(config, inventVocabulary(512), "F32", layout, "x")].flatMap(([key, { type, value }]) =>
          /^(general|tokenizer)\./.test(key) ? [] : [[key, `${type} ${value}`]],
        ),
      );
    const shared = {
      vocab_size: "u32 512",
      block_count: "u32 3",
      context_length: "u32 512",
      embedding_length: "u32 256",
      feed_forward_length: "u32 512",
      "attention.head_count": "u32 4",
      "attention.layer_norm_rms_epsilon": "f32 0.000001",
      "rope.freq_base": "f32 10000",
    };
    const of = (arch: string, keys: object) =>
      Object.fromEntries(Object.entries({ ...shared, ...keys }).map(([key, value]) => [`${arch}.${key}`, value]));
    expect(said(presetConfig("deepseek3-moe", "tiny") as Json, "absorbed")).toEqual(
      of("deepseek2", {
        "attention.q_lora_rank": "u32 256",
        "attention.kv_lora_rank": "u32 256",
        "attention.head_count_kv": "u32 1",
        "attention.key_length": "u32 288",
        "attention.value_length": "u32 256",
        "attention.key_length_mla": "u32 64",
        "attention.value_length_mla": "u32 32",
        "rope.dimension_count": "u32 32",
        "rope.scaling.type": "string yarn",
        "rope.scaling.factor": "f32 4",
        "rope.scaling.original_context_length": "u32 128",
        "rope.scaling.yarn_beta_fast": "f32 32",
        "rope.scaling.yarn_beta_slow": "f32 1",
        "rope.scaling.yarn_log_multiplier": `f32 ${0.1 * 0.7}`,
        leading_dense_block_count: "u32 1",
        expert_count: "u32 8",
        expert_used_count: "u32 3",
        expert_shared_count: "u32 1",
        expert_feed_forward_length: "u32 256",
        expert_weights_scale: "f32 2.5",
        expert_weights_norm: "bool true",
        expert_gating_func: "u32 2",
        expert_group_count: "u32 4",
        expert_group_used_count: "u32 2",
      }),
    );
    expect(said({ ...presetConfig("llama", "tiny"), num_hidden_layers: 3 } as Json, "absorbed")).toEqual(
      of("llama", {
        "attention.head_count_kv": "u32 2",
        "attention.key_length": "u32 64",
        "attention.value_length": "u32 64",
        "rope.dimension_count": "u32 64",
      }),
    );
    // LongRoPE's lists lie in tensors, and MLA as older files have it.
    expect(said({ ...presetConfig("minicpm3", "tiny"), num_hidden_layers: 3 } as Json, "absorbed")).toEqual(
      of("minicpm3", {
        "attention.q_lora_rank": "u32 256",
        "attention.kv_lora_rank": "u32 256",
        "attention.head_count_kv": "u32 4",
        "attention.key_length": "u32 64",
        "attention.value_length": "u32 64",
        "rope.dimension_count": "u32 32",
      }),
    );
  });

  test("hybrids by the heads of keys, which are none where a layer has a state", () => {
    const said = (config: Json) =>
      Object.fromEntries(
        [...ggufMetadata({ ...config, vocab_size: 320 }, inventVocabulary(320), "F32", "absorbed", "x")].flatMap(
          ([key, { type, value }]) =>
            /^(general|tokenizer)\./.test(key) ? [] : [[key.replace(/^[\w-]+\./, ""), `${type} ${value}`]],
        ),
      );
    const shared = {
      vocab_size: "u32 320",
      block_count: "u32 4",
      context_length: "u32 1280",
      embedding_length: "u32 24",
      feed_forward_length: "u32 20",
      "attention.head_count": "u32 2",
      "attention.head_count_kv": "i32[] 0,0,1,0",
      "attention.kv_lora_rank": "u32 12",
      "attention.key_length": "u32 16",
      "attention.value_length": "u32 12",
      "attention.key_length_mla": "u32 10",
      "attention.value_length_mla": "u32 5",
      "rope.dimension_count": "u32 4",
      "ssm.conv_kernel": "u32 4",
      "kda.head_dim": "u32 7",
      leading_dense_block_count: "u32 1",
      expert_count: "u32 8",
      expert_used_count: "u32 3",
      expert_shared_count: "u32 1",
      expert_feed_forward_length: "u32 7",
      expert_gating_func: "u32 2",
    };
    expect(said(kimi)).toEqual({
      ...shared,
      "attention.layer_norm_rms_epsilon": "f32 0.00001",
      "rope.freq_base": "f32 10000",
      expert_weights_scale: "f32 2.446",
    });
    expect(said(ling)).toEqual({
      ...shared,
      // The fourth layer fills no group.
      "attention.head_count_kv": "i32[] 0,0,1,1",
      "attention.layer_norm_rms_epsilon": "f32 0.000001",
      "attention.q_lora_rank": "u32 9",
      "rope.freq_base": "f32 6000000",
      "kda.safe_gate": "bool true",
      "kda.gate_lower_bound": "f32 -5",
      expert_shared_feed_forward_length: "u32 6",
      expert_weights_scale: "f32 2.5",
      expert_weights_norm: "bool true",
      expert_group_count: "u32 4",
      expert_group_used_count: "u32 2",
    });
  });

  test.each([
    [kimi, -1],
    [ling, 1],
  ])("a decay's rate as what its kernels multiply by", async (config, sign) => {
    const { folder, read } = layersOf(config, "absorbed");
    const names = ["self_attn", "attention"].map((part) => `model.layers.1.${part}.A_log`);
    const hub = await folder.read(names.find((name) => folder.shapes.has(name))!);
    expect(await read("blk.1.ssm_a")).toEqual(hub.map((x) => sign * Math.exp(x)));
  });

  test("Llama's queries and keys with rotary pairs side by side", async () => {
    const { folder, read } = layersOf(llama, "absorbed");
    for (const [theirs, ours, heads] of [
      ["attn_q", "q_proj", 4],
      ["attn_k", "k_proj", 2],
    ] as const) {
      const hub = await folder.read(`model.layers.1.self_attn.${ours}.weight`);
      const file = await read(`blk.1.${theirs}.weight`);
      const [e, d] = [6, 24];
      // reshape(heads, 2, e / 2, d), its middle axes swapped.
      for (let head = 0; head < heads; head++)
        for (let pair = 0; pair < e / 2; pair++)
          for (let half = 0; half < 2; half++) {
            const [from, to] = [head * e + half * (e / 2) + pair, head * e + 2 * pair + half];
            expect(file.subarray(to * d, (to + 1) * d)).toEqual(hub.subarray(from * d, (from + 1) * d));
          }
    }
  });

  test("MLA's key up-projection transposed in each head, its value up-projection as it is", async () => {
    const { folder, read } = layersOf(deepseek3, "absorbed");
    const hub = await folder.read("model.layers.2.self_attn.kv_b_proj.weight");
    const [keys, values] = [await read("blk.2.attn_k_b.weight"), await read("blk.2.attn_v_b.weight")];
    const [h, n, v, c] = [2, 6, 5, 12];
    for (let head = 0; head < h; head++)
      for (let j = 0; j < c; j++) {
        const at = (row: number) => hub[(head * (n + v) + row) * c + j]!;
        for (let i = 0; i < n; i++) expect(keys[(head * c + j) * n + i]).toBe(at(i));
        for (let i = 0; i < v; i++) expect(values[(head * v + i) * c + j]).toBe(at(n + i));
      }
  });
});

describe("a GGUF file", () => {
  const file = () => join(dir, "model.gguf");
  /** Writes a small model with its metadata and tensors changed. */
  async function write(
    change: { metadata?: (all: Map<string, Value>) => void; tensors?: (all: GgufTensor[]) => GgufTensor[] },
    config: Json = deepseek3,
    layout: MlaLayout = "absorbed",
  ) {
    const own = { ...config, vocab_size: 320 };
    const metadata = new Map(ggufMetadata(own, inventVocabulary(320), "F32", layout, "test"));
    change.metadata?.(metadata);
    const tensors = ggufTensors(own, sampleTensors(own, { seed: 7 }), "F32", layout);
    await writeGguf(file(), metadata, change.tensors?.(tensors) ?? tensors);
  }
  const refusal = async () => {
    const device = new ReferenceDevice();
    const error = await loadModel(file(), device).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect(device.liveBytes).toBe(0);
    return (error as Error).message;
  };
  const named = (name: string, change: Partial<GgufTensor>) => (all: GgufTensor[]) =>
    all.map((t) => (t.name === name ? { ...t, ...change } : t));

  test("names the tensor that is missing, of the wrong shape, or one too many", async () => {
    const name = "blk.1.attn_v_b.weight";
    await write({ tensors: (all) => all.filter((t) => t.name !== name) });
    expect(await refusal()).toContain(`model.gguf: got no tensor ${name}`);
    await write({ tensors: named(name, { shape: [2, 6, 12], data: new Float32Array(144) }) });
    expect(await refusal()).toMatch(/model.gguf: "?blk.1.attn_v_b.weight"?: got \[2,6,12\], expected \[2,5,12\]/);
    await write({ tensors: (all) => [...all, { name: "extra", shape: [1], dtype: "F32", data: new Float32Array(1) }] });
    expect(await refusal()).toMatch(/model.gguf: got 1 tensors that the config has no place for \("?extra/);
  });

  test.each([kimi, ling])(
    "of a hybrid may leave axes of one number out, and say the width of no layer",
    async (config) => {
      const logitsOf = async () => {
        const { model, weights } = await loadModel(file(), new ReferenceDevice());
        return new Session(model, weights).append(ids).read();
      };
      await write({}, config);
      const expected = await logitsOf();
      const arch = config === kimi ? "kimi-linear" : "bailingmoe3";
      await write(
        {
          metadata(all) {
            // The converter leaves the config's head_dim there.
            all.set(`${arch}.attention.value_length`, { type: "u32", value: 72 });
            all.set(
              `${arch}.expert_group_used_count`,
              all.get(`${arch}.expert_group_used_count`) ?? { type: "u32", value: 1 },
            );
          },
          tensors: (all) =>
            all.map((t) => (/ssm_(a|conv1d)/.test(t.name) ? { ...t, shape: t.shape.filter((n) => n !== 1) } : t)),
        },
        config,
      );
      expect(await logitsOf()).toEqual(expected);
      const positive = config === kimi ? 3 : -3;
      await write({ tensors: named("blk.0.ssm_a", { data: Float32Array.of(positive, positive) }) }, config);
      expect(await refusal()).toMatch(/model.gguf: "?blk.0.ssm_a"?: got -?3, expected (negative|positive) numbers; /);
      for (const [heads, message] of [
        [[0, 0, 1], /attention.head_count_kv: got 3 entries, expected one for each of 4 layers/],
        [[0, 1, 0, 0, 0, 1], undefined],
      ] as const) {
        await write(
          { metadata: (all) => all.set(`${arch}.attention.head_count_kv`, { type: "i32[]", value: [...heads] }) },
          config,
        );
        expect(await refusal()).toMatch(
          message ?? (config === kimi ? /blk\.1\./ : /attention.head_count_kv: got .* in layer/),
        );
      }
    },
  );

  test.each<[string, (all: Map<string, Value>) => void]>([
    ['general.architecture: got "gpt2"', (all) => all.set("general.architecture", { type: "string", value: "gpt2" })],
    [
      "deepseek2.attention.sliding_window",
      (all) => all.set("deepseek2.attention.sliding_window", { type: "u32", value: 4 }),
    ],
    ["attention.head_count", (all) => all.delete("deepseek2.attention.head_count")],
    ["block_count", (all) => all.set("deepseek2.block_count", { type: "string", value: "3" })],
    ["num_hidden_layers", (all) => all.set("deepseek2.block_count", { type: "u32", value: 4e9 })],
    ["expert_gating_func: got 3", (all) => all.set("deepseek2.expert_gating_func", { type: "u32", value: 3 })],
    ["attention.key_length_mla", (all) => all.delete("deepseek2.attention.value_length_mla")],
    ["attention.key_length: got 7", (all) => all.set("deepseek2.attention.key_length", { type: "u32", value: 7 })],
    ["qk_nope_head_dim", (all) => all.set("deepseek2.attention.key_length_mla", { type: "u32", value: 8 })],
    [
      "tokenizer.ggml.tokens: got 2 tokens, expected 320",
      (all) => all.set("tokenizer.ggml.tokens", { type: "string[]", value: ["a", "b"] }),
    ],
  ])("whose metadata is wrong is refused by name: %s", async (key, metadata) => {
    await write({ metadata });
    const message = await refusal();
    expect(message.startsWith(file())).toBe(true);
    expect(message).toContain(key.replace("deepseek2.", ""));
  });

  test("that does not name its router is judged by its bias, and may have gates and ups in one tensor", async () => {
    await write({});
    const expected = await logits(file());
    await write({ metadata: (all) => all.delete("deepseek2.expert_gating_func") });
    expect(distance(await logits(file()), expected)).toBe(0);
    await write({
      tensors: (all) =>
        all.flatMap((t): GgufTensor[] => {
          if (/ffn_up_exps/.test(t.name)) return [];
          if (!/ffn_gate_exps/.test(t.name)) return [t];
          const up = all.find(({ name }) => name === t.name.replace("gate", "up"))!;
          const [x = 0, f = 0, d = 0] = t.shape;
          const data = async () => {
            const [a, b] = await Promise.all([t, up].map(({ data }) => (data as () => Promise<Float32Array>)()));
            const joined = new Float32Array(2 * x * f * d);
            for (let i = 0; i < x; i++) {
              joined.set(a!.subarray(i * f * d, (i + 1) * f * d), 2 * i * f * d);
              joined.set(b!.subarray(i * f * d, (i + 1) * f * d), (2 * i + 1) * f * d);
            }
            return joined;
          };
          return [{ ...t, name: t.name.replace("gate", "gate_up"), shape: [x, 2 * f, d], data }];
        }),
    });
    expect(distance(await logits(file()), expected)).toBe(0);
  });

  test("is refused by name where an override names another model", async () => {
    await write({});
    const load = loadModel(file(), new ReferenceDevice(), { override: { model_type: "gpt2" } });
    await expect(load).rejects.toThrow(/model\.gguf: model_type: got "gpt2", expected one of llama/);
  });

  test("may hold layers that predict further tokens", async () => {
    await write({});
    const expected = await logits(file());
    await write({
      metadata: (all) => {
        all.set("deepseek2.block_count", { type: "u32", value: 4 });
        all.set("deepseek2.nextn_predict_layers", { type: "u32", value: 1 });
      },
      tensors: (all) => [
        ...all,
        { name: "blk.3.nextn.eh_proj.weight", shape: [1], dtype: "F32", data: new Float32Array(1) },
      ],
    });
    expect(distance(await logits(file()), expected)).toBe(0);
  });
});

test("a tensor that stays as it lies comes in pieces of at most 16 MiB, and one that does not as a whole", async () => {
  const asked: string[] = [];
  const rows: ReadRows = async (name, first, count) => {
    asked.push(`${name} ${first} ${count}`);
    return new Float32Array(1);
  };
  const [large, turned] = [
    { tensors: ["large"], shape: [5, 2 ** 21], layout: "stored" },
    { tensors: ["turned"], shape: [4, 2], layout: "transposed" },
  ] as const;
  const parameters = [
    { name: "embed", axes: "s d", shape: [5, 2 ** 21] },
    { name: "head", axes: "d s", shape: [2, 4] },
  ];
  const sources: Sources = new Map<string, Source>([
    ["embed", large],
    ["head", turned],
  ]);
  const elsewhere = new Map(sources).set("head", { ...turned, layout: "stored", shape: [2, 4] });
  const none = () => expect.unreachable();
  const [embed, head] = recast(parameters, sources, elsewhere, none, rows);
  expect(await collect(embed!.pieces!())).toHaveLength(3);
  expect(asked).toEqual(["large 0 2", "large 2 2", "large 4 1"]);
  expect(head!.pieces).toBeUndefined();
  // Who cannot read rows moves all as a whole.
  expect(recast(parameters, sources, sources, none)[0]!.pieces).toBeUndefined();
});

test("a vocabulary made up has each token once, and merges that make its tokens", () => {
  for (const size of [261, 512, 32000]) {
    const { tokens, merges, special } = inventVocabulary(size);
    expect(tokens).toHaveLength(size);
    expect(new Set(tokens).size).toBe(size);
    expect(merges).toHaveLength(size - 256 - special.length);
    for (const [i, merge] of merges.entries()) {
      const [a, b] = merge.split(" ") as [string, string];
      expect(tokens.indexOf(a)).toBeLessThan(256 + i);
      if (size < 1000) expect(tokens).toContain(b);
      expect(tokens[256 + i]).toBe(a + b);
    }
  }
  expect(() => inventVocabulary(200)).toThrow(/expected at least 261/);
});

test("the folder's tokenizer takes text apart and puts it together again", async () => {
  await writeSampleFolder(dir, small("llama"), { seed: 1, type: "F32" });
  const tokenizer = await loadTokenizer(join(dir, "tokenizer.json"));
  const text = "The rain, in Spain \u2014 eta 123\n<|end|>";
  expect(tokenizer.vocabulary).toBe(320);
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
});
