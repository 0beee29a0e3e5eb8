import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { readTarget } from "../src/cli/convert.ts";
import { readLayer } from "../src/convert/checkpoint.ts";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import { type LatentLayer, standardiseScale, unfoldLayer } from "../src/convert/latent.ts";
import { distance, frobenius, type Matrix } from "../src/convert/matrix.ts";
import { convertLayer, placePositions } from "../src/convert/method.ts";
import { convertMha2mla } from "../src/convert/mhatomla.ts";
import { inputsOf, momentsOf } from "../src/convert/moment.ts";
import { replaceAttention } from "../src/convert/replace.ts";
import { roundingOf } from "../src/convert/rounding.ts";
import type { Selection } from "../src/convert/select.ts";
import { cutIds } from "../src/convert/sequences.ts";
import { collect, stackOf } from "../src/convert/stack.ts";
import type { ArchitectureName } from "../src/convert/target.ts";
import { type WriteOptions, writeConversion } from "../src/convert/write.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { Config } from "../src/family/config.ts";
import { tokenizerBeside } from "../src/generate/beside.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf } from "../src/model/model.ts";
import { scratch } from "./fixture/scratch.ts";

const sample = { seed: 3, type: "F32" } as const;
const ids = Int32Array.from([7, 3, 500, 41, 3, 3, 260, 99]);
const exact = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
const text = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(40);

let [dir, end] = ["", async () => {}];
/** A narrow model, so that a test takes little time. */
const narrow = (preset: Preset, keys: Config = {}): Config => ({
  ...presetConfig(preset, "tiny"),
  hidden_size: 64,
  intermediate_size: 96,
  head_dim: 16,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  ...keys,
});
const path = (name: string) => join(dir, name);

/** Puts a NaN in front of a tensor. */
async function damage(file: string, name: string): Promise<void> {
  const bytes = await readFile(file);
  const header = Number(bytes.readBigUInt64LE(0));
  const { [name]: entry } = JSON.parse(bytes.toString("utf8", 8, 8 + header));
  bytes.writeFloatLE(Number.NaN, 8 + header + entry.data_offsets[0]);
  await writeFile(file, bytes);
}

beforeAll(async () => {
  ({ dir, end } = await scratch("convert"));
  await writeSampleFolder(path("llama"), narrow("llama"), sample);
  await writeSampleFolder(path("biased"), narrow("llama", { attention_bias: true }), sample);
  await writeSampleGguf(path("llama.gguf"), narrow("llama"), sample);
  await writeSampleFolder(path("qwen3"), narrow("qwen3"), sample);
  await writeSampleFolder(path("mla"), presetConfig("deepseek2", "tiny"), sample);
  await writeSampleFolder(path("mlp"), narrow("llama", { mlp_bias: true }), sample);
  await writeSampleFolder(path("mqa"), narrow("llama", { num_key_value_heads: 1, tie_word_embeddings: true }), sample);
  await writeSampleFolder(path("untied"), narrow("llama", { rms_norm_eps: 1e-6 }), sample);
  // Three heads, which do not divide the width.
  const odd = { num_attention_heads: 3, num_key_value_heads: 3 };
  await writeSampleFolder(path("odd"), narrow("llama", odd), sample);
  await writeSampleFolder(path("damaged"), narrow("llama"), sample);
  await damage(join(path("damaged"), "model.safetensors"), "model.layers.0.self_attn.k_proj.weight");
  const factors = (by: number) => Array.from({ length: 8 }, (_, i) => 1 + by * i);
  const lists = { short_factor: factors(0.1), long_factor: factors(0.2), original_max_position_embeddings: 32 };
  const twice = narrow("llama", { rope_scaling: { rope_type: "longrope", factor: 2, ...lists } });
  await writeSampleFolder(path("lists"), twice, sample);
  // What is no attention is damaged as well: a matrix of the first layer, and the end of what text goes through.
  for (const [name, tensor] of [
    ["half", "model.layers.0.mlp.up_proj.weight"],
    ["last", "lm_head.weight"],
  ] as const) {
    await writeSampleFolder(path(name), narrow("llama"), sample);
    await damage(join(path(name), "model.safetensors"), tensor);
  }
  await writeSampleFolder(path("foreign"), narrow("llama"), sample);
  await writeFile(join(path("foreign"), "config.json"), JSON.stringify({ ...narrow("llama"), model_type: "gpt_oss" }));
  await writeSampleFolder(path("mha"), narrow("llama", { num_key_value_heads: 4 }), sample);
  await writeSampleFolder(path("indivisible"), narrow("llama"), sample);
  const three = JSON.stringify(narrow("llama", { num_key_value_heads: 3 }));
  await writeFile(join(path("indivisible"), "config.json"), three);
  await writeSampleFolder(path("qwen2"), narrow("llama", { attention_bias: true }), sample);
  await writeFile(join(path("qwen2"), "config.json"), JSON.stringify(narrow("llama")));
});
afterAll(() => end());

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

async function convert(from: string, to: string, options: ConvertOptions, how: WriteOptions = {}) {
  const conversion = await Conversion.open(path(from), options);
  try {
    return { ...(await writeConversion(conversion, path(to), how)), notes: conversion.notes };
  } finally {
    await conversion.close();
  }
}

const configOf = async (name: string) => JSON.parse(await readFile(join(path(name), "config.json"), "utf8"));

describe("a checkpoint that stock engines read is the same function", () => {
  test.each([
    // Keys of one group need each frequency once, those of two each twice, which deepseek_v3 has no words for that all engines read.
    ["mqa", "deepseek_v3", "shrunk"],
    ["llama", "minicpm3", "shrunk"],
    ["llama.gguf", "minicpm3", "shrunk"],
    ["untied", "minicpm3", "shrunk"],
    // Of those with biases too many engines would make layers without.
    ["biased", "youtu", "constant"],
    ["odd", "youtu", "shrunk"],
    ["mlp", "biform", undefined],
  ] as const)("%s: %s", async (from, architecture, still) => {
    const before = (await logitsOf(from)).get("grouped")!;
    const folder = `exact-${from.replace(".", "-")}`;
    for (const to of [folder, `file-${from}.gguf`]) {
      const { price, target } = await convert(from, to, { wanted: exact });
      const expected = architecture === "youtu" && to.endsWith(".gguf") ? "biform" : architecture;
      expect(target.architecture).toBe(expected);
      expect(price.layers.every(({ lost }) => lost.at(-1)! < 1e-12)).toBe(true);
      const after = await logitsOf(to);
      expect([...after.keys()]).toEqual(["expanded", "absorbed"]);
      // Numbers are float32 in the file, and what fills a norm 4096 times as long as what must not move it: 2^-25 of logits of 10.
      for (const logits of after.values()) expect(farthest(before, logits)).toBeLessThan(2e-5);
      // A tokenizer that GGUF and folder say alike.
      const loaded = await load(path(to), { device });
      const original = await load(path(from), { device });
      for (const one of ["a latent", " 12 Ünï\n\n<|end|>x"])
        expect(loaded.tokenizer!.encode(one)).toEqual(original.tokenizer!.encode(one));
      // GGUF files have no list of ends: more are known by name.
      for (const end of original.end) expect(loaded.end).toContain(end);
      expect(loaded.context).toBe(original.context);
      loaded.close();
      original.close();
    }
    const config = await configOf(folder);
    expect(config.model_type).toBe(architecture);
    if (still === "shrunk")
      expect(config).toMatchObject({
        attention_bias: false,
        rms_norm_eps: 1e-6,
        // vLLM leaves the head of deepseek_v3 empty where the config ties it.
        tie_word_embeddings: false,
        q_lora_rank: architecture === "minicpm3" ? 64 : null,
      });
    if (still === "constant")
      expect(config).toMatchObject({ attention_bias: true, q_lora_rank: 65, rms_norm_eps: 1e-5 });
    expect(await readFile(join(path(folder), "README.md"), "utf8")).toMatch(
      architecture === "biform"
        ? /deepseek_v3: mlp_bias: got biases/
        : new RegExp(`It is .${architecture}. with all layers dense`),
    );
  });

  test("16 bits and blocks round it, no more", async () => {
    const before = (await logitsOf("mqa")).get("grouped")!;
    const rounded: number[] = [];
    for (const [to, type] of [
      ["bf16", "BF16"],
      ["bf16.gguf", "BF16"],
      ["q8.gguf", "Q8_0"],
    ] as const) {
      await convert("mqa", to, { wanted: exact }, { type });
      rounded.push(farthest(before, (await logitsOf(to)).get("absorbed")!));
    }
    for (const far of rounded) expect(far).toBeGreaterThan(1e-4);
    for (const far of rounded) expect(far).toBeLessThan(0.4);
    await expect(convert("mqa", "q8", { wanted: exact }, { type: "Q8_0" })).rejects.toThrow(
      /--type: got Q8_0, expected F32 or BF16/,
    );
  });

  test("numbers that are rounded already are taken as they stand, and it is said", async () => {
    await writeSampleGguf(path("blocks.gguf"), narrow("llama"), { ...sample, type: "Q8_0" });
    const { notes } = await convert("blocks.gguf", "blocks", { wanted: exact });
    expect(notes.join()).toMatch(
      /blocks\.gguf holds attention in Q8_0 \(8\.5 bits a number\): .* rounded once already, by some 0\.[3-6]\d* % of a matrix's length/,
    );
    const [before, after] = [await logitsOf("blocks.gguf"), await logitsOf("blocks")];
    for (const logits of after.values()) expect(farthest(before.get("grouped")!, logits)).toBeLessThan(2e-5);
    expect(await readFile(join(path("blocks"), "README.md"), "utf8")).toContain(notes[0]);
  });

  test("what blocks have lost is what they are off by, more with fewer bits", () => {
    const all = (["Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0"] as const).map((type) => roundingOf(type)!);
    for (let i = 1; i < all.length; i++) expect(all[i]!).toBeGreaterThan(all[i - 1]!);
    // A step of the largest of 32 numbers by 127, evenly spread: its length over the root of 12, for a largest of some two.
    expect(all[0]!).toBeGreaterThan(2 / 127 / Math.sqrt(12) / 2);
    expect(all[0]!).toBeLessThan((2 * 2) / 127 / Math.sqrt(12));
    expect(roundingOf("MXFP4")).toBeUndefined();
  });

  test("what is asked for and would compute something else is refused by its line, before the work", async () => {
    const refuse = (from: string, to: string, as: ArchitectureName) =>
      expect(convert(from, to, { wanted: exact }, { as })).rejects;
    await refuse("llama", "no", "deepseek_v3").toThrow(
      /^deepseek_v3: rope_scaling: got frequencies that are no geometric series/,
    );
    await refuse("biased", "no", "minicpm3").toThrow(/^minicpm3: attention_bias: got biases/);
    await refuse("biased", "no", "deepseek_v3").toThrow(/^deepseek_v3: attention_bias: got biases/);
    await refuse("biased", "no.gguf", "deepseek_v3").toThrow(/^deepseek_v3: attn_kv_a_mqa.bias: got biases/);
    await refuse("llama", "no.gguf", "youtu").toThrow(/^youtu: rope_scaling: .* deepseek2 has no tensor for a list/);
    await refuse("odd", "no", "minicpm3").toThrow(/^minicpm3: num_attention_heads: got 3, expected a divisor of 64/);
    await refuse("mlp", "no", "deepseek_v3").toThrow(/^deepseek_v3: mlp_bias: got biases/);
    expect(await readdir(dir)).not.toContain("no");
    const { target } = await convert("mqa", "own", { wanted: exact }, { as: "biform" });
    expect(target).toEqual({ architecture: "biform", gguf: false, still: undefined, refused: [] });
    expect(farthest((await logitsOf("mqa")).get("grouped")!, (await logitsOf("own")).get("absorbed")!)).toBeLessThan(
      2e-5,
    );
  });
});

describe("a folder that is smaller", () => {
  test("by each method, by what was said before", async () => {
    const before = (await logitsOf("llama")).get("grouped")!;
    const changes: number[] = [];
    for (const [method, c, biases, architecture] of [
      ["transmla", 48, false, "deepseek_v3"],
      ["biform", 24, false, "minicpm3"],
      ["biform", 25, true, "youtu"],
      ["transmla", 8, false, "deepseek_v3"],
    ] as const) {
      const wanted = { ...exact, method, c, r: 16, biases };
      const to = `small-${c}`;
      const { price, target } = await convert("llama", to, { wanted, text, tokens: 128, length: 32, threads: 1 });
      expect(target.architecture).toBe(architecture);
      expect(price).toMatchObject({ before: 64, after: c + 16 });
      expect((await configOf(to)).kv_lora_rank).toBe(c);
      const after = await logitsOf(to);
      changes.push(farthest(before, after.get("absorbed")!));
      expect(farthest(after.get("expanded")!, after.get("absorbed")!)).toBeLessThan(1e-9);
      // More rank never leaves out more.
      for (const { lost } of price.layers)
        for (let k = 1; k < lost.length; k++) expect(lost[k]!).toBeLessThanOrEqual(lost[k - 1]!);
    }
    expect(changes[0]!).toBeLessThan(changes[3]!);
    const kept = (selection: Selection) =>
      convert("llama", `kept-${selection}`, {
        wanted: { ...exact, method: "mha2mla", selection, c: 24, r: 16 },
        text,
        tokens: 64,
        length: 32,
        threads: 1,
      });
    for (const selection of ["high", "low", "uniform"] as const) expect((await kept(selection)).price.after).toBe(40);
    // The heaviest pairs of each layer have other frequencies, which no stock config has words for.
    const { target } = await kept("2-norm");
    expect(target.architecture).toBe("biform");
    expect(target.refused).toEqual([
      expect.stringMatching(/^deepseek_v3: rope_scaling: got other frequencies in layer 1/),
      expect.stringMatching(/^minicpm3: rope_scaling: got other frequencies in layer 1/),
      expect.stringMatching(/^youtu: rope_scaling: got other frequencies in layer 1/),
    ]);
    expect(await readdir(path("kept-high"))).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(await readFile(join(path("kept-high"), "README.md"), "utf8")).toMatch(
      /\| 64 \| 40 \(latent 24, turned key 16\) \|/,
    );
  });
});

describe("CARE layer after layer", () => {
  const wanted = { ...exact, method: "care-sequential", c: 12, r: 16, biases: false } as const;
  const look = { text, tokens: 128, length: 32, threads: 1 } as const;

  test("factors each by what the converted model gives it, another rank anew", async () => {
    const { model, weights } = await loadModel(path("llama"), device, { weights: "plain" });
    const kept = { ...look, look: path("seen") };
    const convertAll = async (c: number, method: "care" | "care-sequential" = "care-sequential") => {
      const conversion = await Conversion.open(path("llama"), { ...kept, wanted: { ...wanted, method, c } });
      const { opened } = conversion;
      const tokenizer = (await tokenizerBeside(opened))!;
      const sequences = cutIds(tokenizer.encode(text), kept.tokens, kept.length);
      const made: LatentLayer[] = [];
      for (const i of conversion.layers) made.push((await conversion.convert(i)).layer);
      const whole = replaceAttention(model, weights, made);
      const inputs = await collect(inputsOf(stackOf(model, weights), sequences));
      const met = await collect(momentsOf(stackOf(whole.model, whole.weights), sequences));
      // How far each layer is from the one that the converted model's own moments ask for.
      const off: number[] = [];
      for (const [i, layer] of made.entries()) {
        const { layer: source } = await readLayer(opened, i);
        const asked = unfoldLayer(convertLayer(source, { ...wanted, c }, { inputs: inputs[i]!, second: met[i]! }));
        const own = unfoldLayer(layer);
        off.push(distance(own.keys, asked.keys) / frobenius(asked.keys));
        off.push(distance(own.values, asked.values) / frobenius(asked.values));
      }
      whole.free();
      return Math.max(...off);
    };
    const apart = await convertAll(12, "care");
    // What was seen for one rank is of no use to another.
    for (const c of [12, 20, 12]) expect(await convertAll(c)).toBeLessThan(1e-4);
    expect(apart).toBeGreaterThan(1e-2);
    for (const t of weights.values()) t.free();
  });

  test("is refused without text, and for ranks by layer", async () => {
    const open = (options: Partial<ConvertOptions>) => Conversion.open(path("llama"), { wanted, ...options });
    await expect(open({})).rejects.toThrow(/got no text for care-sequential/);
    await expect(open({ ...look, byLayer: true })).rejects.toThrow(/--by-layer: got care-sequential/);
  });
});

test.each(["transmla", "care"] as const)(
  "%s is by what the model gives whose positions are gathered",
  async (method) => {
    const wanted = { ...exact, method, c: 12, r: 16, biases: false } as const;
    const look = { text, tokens: 128, length: 32, threads: 1 } as const;
    const conversion = await Conversion.open(path("llama"), { wanted, ...look });
    const { opened, layers } = conversion;
    const { model, weights } = await loadModel(path("llama"), device, { weights: "plain" });
    const sequences = cutIds((await tokenizerBeside(opened))!.encode(text), look.tokens, look.length);
    const inputs = await collect(inputsOf(stackOf(model, weights), sequences));
    const sources = await Promise.all(layers.map(async (i) => (await readLayer(opened, i)).layer));
    const placed = sources.map((layer, i) => standardiseScale(placePositions(layer, wanted, inputs[i]!.all).layer));
    const gathered = replaceAttention(model, weights, placed);
    const second = await collect(momentsOf(stackOf(gathered.model, gathered.weights), sequences));
    for (const [i, source] of sources.entries()) {
      const [own, asked] = [
        unfoldLayer((await conversion.convert(i)).layer),
        unfoldLayer(convertLayer(source, wanted, { inputs: inputs[i]!, second: second[i]! })),
      ];
      for (const part of ["keys", "values"] as const)
        expect(distance(own[part], asked[part]) / frobenius(asked[part])).toBeLessThan(1e-4);
    }
    gathered.free();
    for (const t of weights.values()) t.free();
    await conversion.close();
  },
);

describe("MHA2MLA with keys and values factored apart", () => {
  const wanted = { ...exact, method: "mha2mla", c: 16, r: 16, split: true } as const;

  test("gives each half of the latent", async () => {
    const conversion = await Conversion.open(path("llama"), { wanted });
    const { layer } = await conversion.convert(0);
    const { layer: source } = await readLayer(conversion.opened, 0);
    const how = { selection: "high", factoring: "split", ropeDims: 8, rank: 4 } as const;
    const { layer: expected } = convertMha2mla(source, how);
    expect(layer.latent.rows).toBe(16);
    for (const part of ["latent", "keys", "values", "shared"] as const)
      expect(layer[part].values).toEqual(expected[part].values);
    const reads = (rows: Matrix) =>
      Array.from({ length: 16 }, (_, j) => rows.values.some((x, at) => at % 16 === j && x !== 0));
    expect(reads(layer.keys)).toEqual(Array.from({ length: 16 }, (_, j) => j < 8));
    expect(reads(layer.values)).toEqual(Array.from({ length: 16 }, (_, j) => j >= 8));
    const joint = await Conversion.open(path("llama"), { wanted: { ...wanted, split: undefined } });
    expect(reads((await joint.convert(0)).layer.keys)).toEqual(Array(16).fill(true));
    await Promise.all([conversion.close(), joint.close()]);
  });

  test("is refused for other methods and for halves that are none", async () => {
    const open = (more: object) => Conversion.open(path("llama"), { wanted: { ...wanted, ...more } });
    await expect(open({ c: 15 })).rejects.toThrow(/layer 0: c: got 15, expected an even number up to 32/);
    await expect(open({ c: 34 })).rejects.toThrow(/c: got 34, expected an even number up to 32/);
    await expect(open({ method: "biform" })).rejects.toThrow(/--split: got biform, expected mha2mla/);
  });
});

describe("CARE with a latent for keys and one for values", () => {
  const wanted = { ...exact, method: "care-separate", c: 12, r: 16, biases: false } as const;
  const look = { text, tokens: 128, length: 32, threads: 1 } as const;

  test("is written as one latent of a stock architecture", async () => {
    const { price, target } = await convert("llama", "apart", { wanted, ...look });
    expect(target.architecture).toBe("deepseek_v3");
    expect(price.after).toBe(28);
    const after = await logitsOf("apart");
    expect(farthest(after.get("expanded")!, after.get("absorbed")!)).toBeLessThan(1e-9);
  });

  test("is refused for ranks by layer and for GLA", async () => {
    const open = (options: Partial<ConvertOptions>) => Conversion.open(path("llama"), { wanted, ...look, ...options });
    await expect(open({ byLayer: true })).rejects.toThrow(/--by-layer: got care-separate/);
    await expect(open({ wanted: { ...wanted, variant: "GLA" } })).rejects.toThrow(/GLA: got care-separate/);
  });
});

describe("a bottleneck of queries", () => {
  test.each(["biform", "transmla"] as const)("of the rank that a spec asks for, by %s", async (method) => {
    const wanted = { ...exact, method, c: 48, r: 16, q: 24 };
    const to = `queries-${method}`;
    const { target } = await convert("llama", to, { wanted, text, tokens: 128, length: 32, threads: 1 });
    expect(target.architecture).not.toBe("biform");
    expect((await configOf(to)).q_lora_rank).toBe(24);
    const after = await logitsOf(to);
    expect(farthest(after.get("expanded")!, after.get("absorbed")!)).toBeLessThan(1e-9);
  });

  test("is refused where a method has none, or none of that rank", async () => {
    const open = (wanted: ConvertOptions["wanted"], of = "llama") => Conversion.open(path(of), { wanted });
    await expect(open({ ...exact, method: "care", c: 48, r: 16, q: 24 })).rejects.toThrow(
      /q: got care, expected biform/,
    );
    await expect(open({ ...exact, method: "biform", c: 48, r: 16, q: 65 })).rejects.toThrow(
      /q: got 65, expected 1 to 64/,
    );
    await expect(open({ ...exact, method: "biform", c: 48, r: 16, q: 8 }, "biased")).rejects.toThrow(/q: got biases/);
  });
});

describe("a budget", () => {
  const look = { text, tokens: 128, length: 32, threads: 1 } as const;

  test("is shared between turned dims and latent, the same in all layers", async () => {
    const { price, target } = await convert("llama", "third", {
      wanted: { ...exact, method: "biform" },
      budget: 24,
      ...look,
    });
    const { c, r } = price.wanted;
    expect([c + r, r % 2, price.after]).toEqual([24, 0, 24]);
    expect(r).toBeGreaterThan(0);
    expect((await configOf("third")).kv_lora_rank).toBe(c);
    expect(target.architecture).not.toBe("biform");
  });

  test.each([
    ["biform", 24],
    ["care", 36],
  ] as const)("is shared between layers by %s, which no stock config says", async (method, budget) => {
    const wanted = { ...exact, method };
    const to = `own-${method}`;
    const { price, target } = await convert("llama", to, { wanted, budget, byLayer: true, ...look });
    const { c, r } = price.wanted;
    const ranks = price.ranks!;
    expect(ranks.reduce((a, b) => a + b)).toBe(c * ranks.length);
    expect([c + r, price.after]).toEqual([budget, budget]);
    expect(new Set(ranks).size).toBeGreaterThan(1);
    expect(target.architecture).toBe("biform");
    expect(target.refused[0]).toMatch(/^deepseek_v3: kv_lora_rank/);
    const after = await logitsOf(to);
    expect(farthest(after.get("expanded")!, after.get("absorbed")!)).toBeLessThan(1e-9);
  });

  test("is refused where nothing can be made of it", async () => {
    const open = (options: ConvertOptions) => Conversion.open(path("llama"), options);
    await expect(open({ wanted: { ...exact, method: "biform" }, budget: 65 })).rejects.toThrow(
      /budget: got 65 numbers, expected 4 to 64/,
    );
    await expect(open({ wanted: { ...exact, method: "transmla" }, budget: 40, byLayer: true })).rejects.toThrow(
      /--by-layer: got transmla, expected biform or care/,
    );
    await expect(open({ wanted: { ...exact, method: "care" }, budget: 12 })).rejects.toThrow(/c: got -4/);
  });
});

describe("a conversion that was stopped goes on", () => {
  const text2 = {
    wanted: { ...exact, method: "transmla", c: 20, r: 16 },
    text,
    tokens: 128,
    length: 32,
    threads: 1,
  } as const;

  test("from the layers that are finished, to the same bytes, and leaves nothing behind", async () => {
    await convert("llama", "whole", text2);
    const stop = new AbortController();
    const watch = (what: string, done: number) => {
      if (what === "converting" && done === 1) stop.abort();
    };
    await expect(convert("llama", "gone", text2, { signal: stop.signal, watch })).rejects.toThrow(/aborted/);
    expect((await readdir(dir)).filter((name) => name.includes("gone"))).toEqual([".gone.layers"]);
    const { found } = await convert("llama", "gone", text2);
    expect(found).toBe(1);
    expect((await readdir(dir)).filter((name) => name.includes("gone"))).toEqual(["gone"]);
    for (const name of ["model.safetensors", "config.json", "README.md"])
      expect(await readFile(join(path("gone"), name))).toEqual(await readFile(join(path("whole"), name)));
  });

  test("anew where it is another conversion", async () => {
    const stop = new AbortController();
    const watch = (what: string, done: number) => {
      if (what === "converting" && done === 1) stop.abort();
    };
    await expect(convert("llama", "turned", text2, { signal: stop.signal, watch })).rejects.toThrow(/aborted/);
    const { found } = await convert("llama", "turned", { ...text2, wanted: { ...text2.wanted, c: 21 } });
    expect(found).toBe(0);
  });
});

describe("what cannot be converted is refused by layer and rule, and nothing is written", () => {
  test.each([
    ["mla", exact, /layer 0: is MLA already/],
    ["qwen3", exact, /layer 0: norms each head's query and key/],
    ["damaged", exact, /self_attn\.k_proj\.weight: got NaN, expected finite numbers/],
    ["llama", { ...exact, method: "transmla", c: 8, r: 12 }, /r: got 12, expected a divisor/],
    ["llama", { ...exact, method: "mha2mla", c: 8, r: 6 }, /r: got 6, expected a multiple of 4/],
    ["llama", { ...exact, method: "mha2mla", c: 99, r: 8 }, /c: got 99, expected 1 to 56/],
    // Biases that a config does not speak of would be left out without a word.
    ["qwen2", exact, /got 8 tensors that the config has no place for \(model\.layers\.0\.self_attn\.[kqvo]_proj\.bias/],
    ["foreign", exact, /model_type: got "gpt_oss"/],
    ["lists", exact, /layer 0: turns by other angles from some position on \(LongRoPE\)/],
    ["indivisible", exact, /num_key_value_heads: got 3/],
    ["mha", { ...exact, method: "merge", groups: 3 }, /layer 0: g: got 3 groups, expected .* a divisor of them/],
  ] as const)("%s", async (from, wanted, message) => {
    await expect(convert(from, "refused", { wanted })).rejects.toThrow(message);
    expect(await readdir(dir)).not.toContain("refused");
  });

  test.each([
    ["half", "mlp.up_proj", {}],
    ["half", "mlp.up_proj", { text, tokens: 64, length: 32, threads: 1 }],
    ["last", "lm_head", { text, tokens: 64, length: 32, threads: 1 }],
  ] as const)("%s, by the name of the tensor that is no attention: %s %o", async (from, tensor, look) => {
    const wanted = { ...exact, method: "biform", c: 12, r: 8 } as const;
    await expect(convert(from, "refused", { wanted, ...look })).rejects.toThrow(
      new RegExp(`model\\.safetensors: .*${tensor}\\.weight: got NaN, expected finite numbers`),
    );
    expect(await readdir(dir)).not.toContain("refused");
  });

  test("the model's own place", async () => {
    const before = await readFile(join(path("llama"), "config.json"), "utf8");
    await symlink(path("llama"), path("link"));
    for (const [out, also] of [["llama"], ["link"], ["fresh", "llama"]] as const)
      await expect(convert("llama", out, { wanted: exact }, { also: also && path(also) })).rejects.toThrow(
        /got the model's own place to write to, expected another/,
      );
    expect(await readFile(join(path("llama"), "config.json"), "utf8")).toBe(before);
    expect((await readdir(dir)).filter((name) => /fresh|\.llama/.test(name))).toEqual([]);
  });

  test("a spec that is none", () => {
    expect(readTarget("MLA:c128:r64")).toEqual({ c: 128, r: 64 });
    expect(readTarget("MLA")).toEqual({ c: undefined, r: undefined });
    expect(readTarget("GQLA:c64")).toEqual({ variant: "GQLA", c: 64 });
    expect(readTarget("GLA:g3:c64:r16")).toEqual({ variant: "GLA", latents: 3, c: 64, r: 16 });
    expect(readTarget("GQA:g2")).toEqual({ groups: 2 });
    expect(() => readTarget("GQA2")).toThrow(/--to: got "GQA2", expected MLA or GQLA or GLA/);
    expect(() => readTarget("MLA:g2")).toThrow(/--to: got "MLA:g2", expected MLA/);
  });
});
