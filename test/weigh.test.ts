// What weights are shipped in, by the files that hold them: folders of safetensors, GGUF headers.
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { countParameters } from "../src/cost/blueprint.ts";
import { parameterBytes, weightBytes } from "../src/cost/cost.ts";
import { memorySource } from "../src/file/bytes.ts";
import { readOutline } from "../src/file/outline.ts";
import { encodeSafetensors, type TensorInMemory } from "../src/file/safetensors.ts";
import { openPlan } from "../src/plan/open.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { blueprintOfGguf } from "../src/plan/read/gguf.ts";
import { partOf } from "../src/plan/read/weigh.ts";
import { FormatError } from "../src/tensor/error.ts";
import { ggufOf, key, line, text, u32 } from "./corpus/gguf.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-weigh-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

const config = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  intermediate_size: 128,
  vocab_size: 100,
  tie_word_embeddings: false,
};
const zeros = (name: string, ...shape: number[]): TensorInMemory => ({
  name,
  shape,
  dtype: "BF16",
  data: new Float32Array(shape.reduce((product, n) => product * n, 1)),
});
const layer = (i: number) => {
  const at = (name: string, ...shape: number[]) => zeros(`model.layers.${i}.${name}.weight`, ...shape);
  return [
    at("self_attn.q_proj", 64, 64),
    at("self_attn.k_proj", 32, 64),
    at("self_attn.v_proj", 32, 64),
    at("self_attn.o_proj", 64, 64),
    at("mlp.gate_proj", 128, 64),
    at("mlp.up_proj", 128, 64),
    at("mlp.down_proj", 64, 128),
    at("input_layernorm", 64),
    at("post_attention_layernorm", 64),
  ];
};
const head = zeros("lm_head.weight", 100, 64);
const body = [zeros("model.embed_tokens.weight", 100, 64), ...layer(0), ...layer(1), zeros("model.norm.weight", 64)];
const bytesOf = (tensors: readonly TensorInMemory[]) => 2 * tensors.reduce((sum, { data }) => sum + data.length, 0);

/** A folder of a config and of files of tensors, with an index of them where it is given. */
async function folder(files: Record<string, readonly TensorInMemory[] | string>, more: object = {}, index?: object) {
  const dir = join(scratch, `model${made++}`);
  await mkdir(dir);
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...config, ...more }));
  for (const [name, tensors] of Object.entries(files))
    await writeFile(join(dir, name), typeof tensors === "string" ? tensors : encodeSafetensors(tensors));
  if (index) await writeFile(join(dir, "model.safetensors.index.json"), JSON.stringify(index));
  return dir;
}
const mapOf = (files: Record<string, readonly TensorInMemory[]>) =>
  Object.fromEntries(Object.entries(files).flatMap(([file, tensors]) => tensors.map(({ name }) => [name, file])));

describe("a folder", () => {
  test("has the bytes of its tensors, by part where these differ", async () => {
    const wide = { ...head, dtype: "F32" } as const;
    const found = await openPlan(await folder({ "model.safetensors": [...body, wide] }));
    expect(weightBytes(found, "file")).toBe(bytesOf(body) + 4 * 6400);
    expect(found.widths).toMatchObject({ attention: 2, feed: 2, embedding: 2, head: 4, norm: 2 });
    expect(found.shipped).toBe("BF16 86 %, F32 14 %");
    expect(found.assumed).toEqual([]);
  });

  test("counts what its files have, and not what quantization_config says of them", async () => {
    const quantization_config = { quant_method: "fp8", weight_block_size: [128, 128] };
    const found = await openPlan(await folder({ "model.safetensors": [...body, head] }, { quantization_config }));
    expect(weightBytes(found, "file")).toBe(bytesOf([...body, head]));
  });

  test("in parts, by an index or by names alone", async () => {
    const files = { "model-00001-of-00002.safetensors": body, "model-00002-of-00002.safetensors": [head] };
    const total = bytesOf([...body, head]);
    const index = { metadata: { total_size: total }, weight_map: mapOf(files) };
    for (const dir of [await folder(files, {}, index), await folder(files)]) {
      const found = await openPlan(dir);
      expect(found.weightBytes).toBe(total);
      expect(found.assumed).toEqual([]);
    }
    const wrong = await openPlan(await folder(files, {}, { ...index, metadata: { total_size: 2 * total } }));
    expect(wrong.weightBytes).toBe(total);
    expect(wrong.assumed!.join()).toContain(`says ${2 * total} bytes, and the files hold ${total}, which count`);
  });

  test("of which some files are missing, or were not fetched, has what its index says", async () => {
    const files = { "model-00001-of-00002.safetensors": body, "model-00002-of-00002.safetensors": [head] };
    const weight_map = mapOf(files);
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12800\n";
    const { "model-00002-of-00002.safetensors": _, ...first } = files;
    for (const there of [first, { ...first, "model-00002-of-00002.safetensors": pointer }]) {
      const found = await openPlan(await folder(there, {}, { metadata: { total_size: 12345 }, weight_map }));
      expect(found.weightBytes).toBe(12345);
      expect(found.assumed!.join()).toMatch(/1 of the files .*not there \(model-00002-of-00002.*index says/);
      const unknown = await openPlan(await folder(there, {}, { weight_map }));
      expect(unknown.weightBytes).toBeUndefined();
      const fp8 = { quantization_config: { quant_method: "fp8" } };
      const known = await openPlan(await folder(there, fp8, { metadata: { total_size: 12345 }, weight_map }));
      expect(known.weightBytes).toBe(blueprintOfConfig({ ...config, ...fp8 }, "x").weightBytes);
    }
  });

  test("with encoders and layers that predict further tokens counts the language model, and tells the rest", async () => {
    const beside = [
      zeros("visual.blocks.0.attn.qkv.weight", 10, 10),
      zeros("model.vision_tower.embeddings.weight", 10),
      ...layer(2),
      zeros("mtp.fc.weight", 4, 4),
    ];
    const found = await openPlan(await folder({ "model.safetensors": [...body, head, ...beside] }));
    expect(found.weightBytes).toBe(bytesOf([...body, head]));
    expect(found.assumed).toEqual([
      `beside the weights of the model its files hold ${bytesOf(beside)} bytes, of further layers or encoders`,
    ]);
  });

  test("decides about the head, whatever the config says", async () => {
    const tied = await openPlan(await folder({ "model.safetensors": body }));
    expect([tied.tied, countParameters(tied).total]).toEqual([true, bytesOf(body) / 2]);
    expect(tied.assumed!.join()).toMatch(/config has a head of its own, and the files have none/);
    const apart = await openPlan(await folder({ "model.safetensors": [...body, head] }, { tie_word_embeddings: true }));
    expect([apart.tied, countParameters(apart).total]).toEqual([false, bytesOf([...body, head]) / 2]);
    expect(apart.assumed!.join()).toMatch(/ties the head to the embedding, and the files have a head/);
    for (const agreed of [[[...body, head], false] as const, [body, true] as const]) {
      const found = await openPlan(
        await folder({ "model.safetensors": agreed[0] }, { tie_word_embeddings: agreed[1] }),
      );
      expect([found.tied, found.assumed]).toEqual([agreed[1], []]);
    }
  });

  test("whose tensors are of another model says so", async () => {
    const found = await openPlan(await folder({ "model.safetensors": [...body, head] }, { intermediate_size: 512 }));
    expect(found.assumed!.join()).toMatch(/config speaks of \d+ parameters, and the files hold \d+/);
    expect(weightBytes(found, "file")).toBe(bytesOf([...body, head]));
  });

  test.each<[string, Record<string, readonly TensorInMemory[] | string>, object | undefined, RegExp]>([
    [
      "an index that points out of it",
      {},
      { weight_map: { w: "../other.safetensors" } },
      /weight_map: got \.\.\/other/,
    ],
    ["an index that is none", {}, { weight_map: [] }, /model\.safetensors\.index\.json: weight_map/],
    ["a size below zero", {}, { weight_map: {}, metadata: { total_size: -1 } }, /metadata\.total_size/],
    ["a damaged file", { "model.safetensors": "none" }, undefined, /model\.safetensors: byte 0/],
    [
      "a tensor in two files",
      { "model-00001-of-00002.safetensors": [head], "model-00002-of-00002.safetensors": [head] },
      undefined,
      /lm_head\.weight, expected it in one file only/,
    ],
  ])("with %s is refused", async (_, files, index, message) => {
    const dir = await folder(files, {}, index);
    await expect(openPlan(dir)).rejects.toThrow(message);
    await expect(openPlan(dir)).rejects.toThrow(FormatError);
  });
});

describe("tied embeddings at odds between levels", () => {
  const outer = (tie: unknown, inner: unknown) =>
    blueprintOfConfig(
      {
        model_type: "qwen3_vl",
        tie_word_embeddings: tie,
        text_config: { ...config, model_type: "qwen3_vl_text", head_dim: 16, tie_word_embeddings: inner },
      },
      "x",
    );
  test("the outer level counts, and a note says so where they differ", () => {
    expect([outer(true, false).tied, outer(false, true).tied]).toEqual([true, false]);
    expect(outer(true, false).assumed!.join()).toMatch(
      /tie_word_embeddings is true .* false in its text_config: the outer/,
    );
    expect([outer(undefined, true).tied, outer(true, undefined).tied, outer(null, true).tied]).toEqual([
      true,
      true,
      true,
    ]);
    for (const same of [outer(true, true), outer(false, false), outer(undefined, true)])
      expect(same.assumed).toEqual([]);
  });
});

describe("a config without model_type", () => {
  const { model_type: _, ...bare } = config;
  test("is what its architectures name", () => {
    const found = blueprintOfConfig({ ...bare, architectures: ["Qwen2ForCausalLM"] }, "x");
    expect(found.architecture).toBe("qwen2");
    expect(found.assumed!.join()).toMatch(/no model_type: architectures \["Qwen2ForCausalLM"\] say qwen2/);
  });
  test.each([[["NovelForCausalLM"]], [[]], [undefined], ["LlamaForCausalLM"], [[7]]])(
    "and whose architectures %j do not tell is refused, with what to add",
    (architectures) => {
      expect(() => blueprintOfConfig({ ...bare, architectures }, "x")).toThrow(/model_type: got nothing.*--as GQA/);
    },
  );
});

describe("a GGUF header", () => {
  const n = (name: string, value: number) => key(name, 4, u32(value));
  const keys = [
    key("general.architecture", 8, text("llama")),
    n("llama.embedding_length", 64),
    n("llama.block_count", 2),
    n("llama.attention.head_count", 4),
    n("llama.attention.head_count_kv", 2),
    n("llama.feed_forward_length", 128),
  ];
  const block = (i: number, type: number) => [
    line(`blk.${i}.attn_q.weight`, [64, 64], 30),
    line(`blk.${i}.attn_k.weight`, [64, 32], 30),
    line(`blk.${i}.attn_v.weight`, [64, 32], 30),
    line(`blk.${i}.attn_output.weight`, [64, 64], 30),
    line(`blk.${i}.ffn_gate.weight`, [64, 128], type),
    line(`blk.${i}.ffn_up.weight`, [64, 128], type),
    line(`blk.${i}.ffn_down.weight`, [128, 64], type),
    line(`blk.${i}.attn_norm.weight`, [64]),
    line(`blk.${i}.ffn_norm.weight`, [64]),
  ];
  const tables = [line("token_embd.weight", [64, 100], 8), line("output_norm.weight", [64])];
  const read = async (type: number) =>
    blueprintOfGguf(
      await readOutline(
        memorySource("x.gguf", ggufOf({ keys, tensors: [...tables, ...block(0, type), ...block(1, type)] })),
      ),
      "x",
    );

  test.each([
    ["NVFP4", 40, 36 / 64],
    ["MXFP4", 39, 17 / 32],
    ["Q1_0", 41, 18 / 128],
    ["Q2_0", 42, 18 / 64],
    ["IQ4_XS", 23, 136 / 256],
  ])("with %s has its bytes, and each part its own", async (_, type, each) => {
    const found = await read(type);
    const mlp = 2 * 3 * 64 * 128;
    expect(found.weightBytes).toBe(
      mlp * each + 2 * 2 * (64 * 64 * 2 + 64 * 32 * 2) + (100 * 64 * 34) / 32 + 5 * 64 * 4,
    );
    expect(found.widths).toMatchObject({ attention: 2, feed: each, embedding: 34 / 32, norm: 4 });
    expect(parameterBytes(found, "file")).toBeLessThan(2);
  });

  test("with a type that is neither known nor sized says that weights are counted as bfloat16", async () => {
    const found = await read(138);
    expect(found.weightBytes).toBeUndefined();
    expect(found.assumed!.join()).toMatch(/tensors of type 138 are of no size that is known.*bfloat16/);
  });
});

test.each([
  ["model.layers.0.mlp.experts.3.down_proj.weight", "expert"],
  ["model.layers.0.mlp.shared_experts.down_proj.weight", "feed"],
  ["model.layers.0.mlp.gate.weight", "feed"],
  ["model.layers.0.self_attn.kv_b_proj.weight_scale_inv", "attention"],
  ["model.layers.0.self_attn.q_norm.weight", "attention"],
  ["model.layers.0.linear_attn.conv1d.weight", "attention"],
  ["model.layers.0.post_attention_layernorm.weight", "norm"],
  ["model.language_model.embed_tokens.weight", "embedding"],
  ["model.embed_tokens_per_layer.weight", "table"],
  ["lm_head.weight_packed", "head"],
  ["model.norm.weight", "norm"],
  ["blk.0.ffn_down_exps.weight", "expert"],
  ["blk.0.ffn_down_shexp.weight", "feed"],
  ["blk.0.ffn_gate_inp.weight", "feed"],
  ["blk.0.attn_norm.weight", "norm"],
  ["blk.0.attn_kv_a_mqa.weight", "attention"],
  ["blk.0.ssm_conv1d.weight", "attention"],
  ["token_embd.weight", "embedding"],
  ["per_layer_token_embd.weight", "table"],
  ["output.weight", "head"],
  ["output_norm.weight", "norm"],
])("%s is of the %s", (name, part) => {
  expect(partOf(name)).toBe(part);
});
