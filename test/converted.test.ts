import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { readTarget } from "../src/cli/convert.ts";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import type { Selection } from "../src/convert/select.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { Config } from "../src/family/config.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf } from "../src/model/model.ts";

const sample = { seed: 3, type: "F32" } as const;
const ids = Int32Array.from([7, 3, 500, 41, 3, 3, 260, 99]);
const exact = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
const text = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(40);

let dir = "";
/** A narrow model, so that a test takes little time. */
const narrow = (preset: Preset, keys: Config = {}): Config => ({
  ...presetConfig(preset, "tiny"),
  hidden_size: 64,
  intermediate_size: 96,
  head_dim: 16,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  ...keys,
});
const path = (name: string) => join(dir, name);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-convert-"));
  await writeSampleFolder(path("llama"), narrow("llama"), sample);
  await writeSampleFolder(path("biased"), narrow("llama", { attention_bias: true }), sample);
  await writeSampleGguf(path("llama.gguf"), narrow("llama"), sample);
  await writeSampleFolder(path("qwen3"), narrow("qwen3"), sample);
  await writeSampleFolder(path("mla"), presetConfig("deepseek2", "tiny"), sample);
  await writeSampleFolder(path("mlp"), narrow("llama", { mlp_bias: true }), sample);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const device = new ReferenceDevice();

/** Logits of a checkpoint in every form, in float64. */
async function logitsOf(name: string): Promise<Map<string, ArrayLike<number>>> {
  const { model, weights } = await loadModel(path(name), device, { weights: "plain" });
  const all = new Map<string, ArrayLike<number>>();
  for (const form of formsOf(model)) {
    const session = new Session(model, weights, { context: ids.length });
    all.set(form, await session.append(ids, { form }).read());
    session.free();
  }
  for (const t of weights.values()) t.free();
  return all;
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function convert(from: string, to: string, options: ConvertOptions) {
  const conversion = await Conversion.open(path(from), options);
  return { price: await conversion.write(path(to)), notes: conversion.notes };
}

describe("a folder that stock engines read", () => {
  test.each([
    ["llama", "a plain Llama"],
    ["biased", "one with biases on queries, keys, values and outputs"],
    ["llama.gguf", "a GGUF file"],
  ])("is the same function: %s, %s", async (from) => {
    const to = `exact-${from}`;
    const { price } = await convert(from, to, { wanted: exact });
    expect(price.layers.every(({ lost }) => lost.at(-1)! < 1e-12)).toBe(true);
    const before = (await logitsOf(from)).get("grouped")!;
    const after = await logitsOf(to);
    expect([...after.keys()]).toEqual(["expanded", "absorbed"]);
    // Numbers are float32 in the file, and the norm's constant is 4096 times as long as the rest: 2^-25 of the logits' size of 10.
    for (const logits of after.values()) expect(farthest(before, logits)).toBeLessThan(2e-5);
    const config = JSON.parse(await readFile(join(path(to), "config.json"), "utf8"));
    expect(config).toMatchObject({ model_type: "deepseek_v3", attention_bias: true, first_k_dense_replace: 2 });
    expect(config.q_lora_rank).toBe(from === "biased" ? 65 : null);
    const { tokenizer, close } = await load(path(to), { device });
    const original = await load(path(from), { device });
    expect(tokenizer!.encode("a latent")).toEqual(original.tokenizer!.encode("a latent"));
    close();
    original.close();
  });

  test("is smaller by each method, by what was said before", async () => {
    const before = (await logitsOf("llama")).get("grouped")!;
    const changes: number[] = [];
    for (const [method, c] of [
      ["transmla", 49],
      ["biform", 25],
      ["transmla", 9],
    ] as const) {
      const wanted = { ...exact, method, c, r: 16 };
      const { price } = await convert("llama", `small-${c}`, { wanted, text, tokens: 128, length: 32, threads: 1 });
      expect(price).toMatchObject({ before: 64, after: c + 16 });
      const after = await logitsOf(`small-${c}`);
      changes.push(farthest(before, after.get("absorbed")!));
      expect(farthest(after.get("expanded")!, after.get("absorbed")!)).toBeLessThan(1e-9);
      // More rank never leaves out more.
      for (const { lost } of price.layers)
        for (let k = 1; k < lost.length; k++) expect(lost[k]!).toBeLessThanOrEqual(lost[k - 1]!);
    }
    expect(changes[0]!).toBeLessThan(changes[2]!);
    const kept = (selection: Selection) =>
      convert("llama", `kept-${selection}`, {
        wanted: { ...exact, method: "mha2mla", selection, c: 25, r: 16 },
        text,
        tokens: 64,
        length: 32,
        threads: 1,
      });
    for (const selection of ["high", "low", "uniform"] as const) expect((await kept(selection)).price.after).toBe(41);
    // The heaviest pairs of each layer have other frequencies, which no stock config has words for.
    await expect(kept("2-norm")).rejects.toThrow(/^rope_scaling: got other frequencies/);
    expect(await readdir(path("kept-high"))).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(await readFile(join(path("kept-high"), "README.md"), "utf8")).toMatch(
      /\| 64 \| 41 \(latent 25, turned key 16\) \|/,
    );
  });
});

describe("what cannot be converted is refused by layer and rule, and nothing is written", () => {
  test.each([
    ["mla", exact, /layer 0: is MLA already/],
    ["qwen3", exact, /layer 0: norms each head's query and key/],
    ["mlp", exact, /mlp_bias: got biases in the feed-forward halves/],
    ["llama", { ...exact, method: "transmla", c: 8, r: 12 }, /r: got 12, expected a divisor/],
    ["llama", { ...exact, method: "mha2mla", c: 8, r: 6 }, /r: got 6, expected a multiple of 4/],
    ["llama", { ...exact, method: "mha2mla", c: 99, r: 8 }, /c: got 99, expected 2 to 57/],
  ] as const)("%s", async (from, wanted, message) => {
    await expect(convert(from, "refused", { wanted })).rejects.toThrow(message);
    expect(await readdir(dir)).not.toContain("refused");
  });

  test("a spec that is none", () => {
    expect(readTarget("MLA:c128:r64")).toEqual({ c: 128, r: 64 });
    expect(readTarget("MLA")).toEqual({ c: undefined, r: undefined });
    expect(() => readTarget("GQA2")).toThrow(/--to: got "GQA2", expected MLA/);
  });
});
