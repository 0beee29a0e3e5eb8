import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { openModel } from "../src/checkpoint/open.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import { inputsOf } from "../src/convert/moment.ts";
import { collect, fileStack, stackOf, walkLayers } from "../src/convert/stack.ts";
import { writeConversion } from "../src/convert/write.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import type { Config } from "../src/family/config.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf } from "../src/model/model.ts";
import { forward } from "../src/model/transformer.ts";
import { positionsOf } from "../src/ops/rope/index.ts";
import { scratch } from "./fixture/scratch.ts";

// Checkpoints of which some layers are converted and others are not, and layers that are read one after the other.

const exact = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
const text = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(8);
const ids = Int32Array.from(new TextEncoder().encode("a latent is"));

/** A model that was trained here, of bytes. */
const own = (attention: string, more: Config = {}): Config => ({
  architectures: ["BiformForCausalLM"],
  model_type: "biform",
  attention,
  attention_dims: "exact",
  vocab_size: 272,
  hidden_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 40,
  tie_word_embeddings: true,
  max_position_embeddings: 64,
  ...more,
});

let [dir, end] = ["", async () => {}];
const path = (name: string) => join(dir, name);
const hybrids: Readonly<Record<string, Config>> = {
  windows: own("[GQA2-16-W8,GQA2-16,GQA2-16-W8]"),
  linear: own("[GDN,GQA2-16,GDN]"),
  sinks: own("[GQA2-16,GQA2-(16+8)-S2-Sink,GQA2-16]"),
  latent: own("[GQA2-16,MLA:c16:r8:n8,GQA2-16]"),
  perhead: own("[GQA2-16,GQA2-16-QKNorm,GQA2-16]"),
  lowrank: own("[GQA2-16,GQA2-16-QLoRA,GQA2-16]"),
  uneven: own("[GQA2-16,MHA-16,GQA2-16]"),
  all: own("[GQA2-16-W8]"),
  partial: own("[GQA2-(8+8)]"),
};

beforeAll(async () => {
  ({ dir, end } = await scratch("hybrid"));
  for (const [name, config] of Object.entries(hybrids))
    await writeSampleFolder(path(name), config, { seed: 3, type: "F32" });
});
afterAll(() => end());

const device = new ReferenceDevice();
async function logitsOf(name: string): Promise<Float64Array[]> {
  const { model, weights } = await loadModel(path(name), device, { weights: "plain" });
  const all: Float64Array[] = [];
  for (const form of formsOf(model)) {
    const session = new Session(model, weights, { context: ids.length });
    all.push(Float64Array.from(await session.append(ids, { form }).read()));
    session.free();
  }
  return all;
}
const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function convert(from: string, to: string, options: ConvertOptions) {
  const conversion = await Conversion.open(path(from), options);
  try {
    return { ...(await writeConversion(conversion, path(to))), notes: conversion.notes };
  } finally {
    await conversion.close();
  }
}

describe("layers that are no grouped heads stay as they are, and it is said", () => {
  test.each([
    ["windows", [1], /layers 0, 2 stay as they are: each has a window of 8 tokens/],
    ["linear", [1], /layers 0, 2 stay as they are: each is GDN, expected grouped heads/],
    ["latent", [0, 2], /layers 1 stay as they are: each is MLA already/],
    ["perhead", [0, 2], /layers 1 stay as they are: each norms each head's query and key: a norm is no linear map/],
    ["lowrank", [0, 2], /layers 1 stay as they are: each has low-rank queries or outputs/],
    ["sinks", [0, 2], /layers 1 stay as they are: each is S2/],
  ] as const)("%s", async (name, layers, note) => {
    const before = (await logitsOf(name))[0]!;
    const { price, target, notes } = await convert(name, `${name}-mla`, { wanted: exact });
    expect(price.layers.map(({ layer }) => layer)).toEqual(layers);
    expect(notes.join("\n")).toMatch(note);
    // No stock config has words for both kinds.
    expect(target.architecture).toBe("biform");
    expect(target.refused[0]).toMatch(/^deepseek_v3: model_type: got \w+ that stays as it is in layer \d/);
    const { model } = await openModel(path(`${name}-mla`));
    const source = (await openModel(path(name))).model;
    for (const [i, { attention }] of model.layers.entries())
      expect(attention.variant.name).toBe(
        layers.includes(i as never) ? "MLA" : source.layers[i]!.attention.variant.name,
      );
    for (const after of await logitsOf(`${name}-mla`)) expect(farthest(before, after)).toBeLessThan(2e-5);
    expect(await readFile(join(path(`${name}-mla`), "README.md"), "utf8")).toMatch(note);
  });

  test("also where the others become smaller, by text", async () => {
    const wanted = { ...exact, method: "biform", c: 12, r: 8 } as const;
    const { price } = await convert("linear", "small", { wanted, text, tokens: 64, length: 32, threads: 1 });
    expect(price.layers.map(({ layer }) => layer)).toEqual([1]);
    const { attention } = (await openModel(path("small"))).model.layers[1]!;
    expect([attention.sizes.c, attention.sizes.r]).toEqual([12, 8]);
    const [before, after] = [await logitsOf("linear"), await logitsOf("small")];
    expect(farthest(before[0]!, after[0]!)).toBeGreaterThan(1e-3);
  });

  test("is refused where nothing is left to convert, and where one choice does not fit all layers", async () => {
    await expect(convert("all", "no", { wanted: exact })).rejects.toThrow(
      /layer 0: has a window of 8 tokens, whose cache does not grow/,
    );
    const wanted = { ...exact, method: "biform", c: 8, r: 8 } as const;
    await expect(convert("uneven", "no", { wanted })).rejects.toThrow(
      /layer 1: got 4 heads in 4 groups of 16 \+ 16 numbers, 16 turned, expected as in the first that is converted, 4 heads in 2 groups/,
    );
    await expect(convert("partial", "no", { wanted: { ...exact, method: "transmla", c: 8, r: 8 } })).rejects.toThrow(
      /layer 0: got 8 turned dims of 16, expected all; use mha2mla/,
    );
    // Exactly, each layer has sizes of its own.
    const { target } = await convert("uneven", "each", { wanted: exact });
    expect(target.architecture).toBe("biform");
    expect(farthest((await logitsOf("uneven"))[0]!, (await logitsOf("each"))[0]!)).toBeLessThan(2e-5);
    expect((await readdir(dir)).filter((name) => name.includes("no"))).toEqual([]);
  });
});

describe("as GQLA", () => {
  const shared = { ...exact, variant: "GQLA" } as const;
  test("is the same function, with unfoldings of groups, in Biform's own format", async () => {
    await writeSampleFolder(path("grouped"), own("[GQA2-16]"), { seed: 3, type: "F32" });
    const { target } = await convert("grouped", "gqla", { wanted: shared });
    expect(target.refused[0]).toMatch(/^deepseek_v3: model_type: got GQLA, expected MLA/);
    const { model } = await openModel(path("gqla"));
    expect(model.layers.map(({ attention: { variant, sizes } }) => [variant.name, sizes.g])).toEqual(
      model.layers.map(() => ["GQLA", 2]),
    );
    const before = (await logitsOf("grouped"))[0]!;
    for (const after of await logitsOf("gqla")) expect(farthest(before, after)).toBeLessThan(2e-5);
  });

  test("smaller is what MLA is by the same method", async () => {
    const wanted = { ...shared, method: "biform", c: 20, r: 12 } as const;
    const look = { text, tokens: 64, length: 32, threads: 1 };
    await convert("grouped", "small-gqla", { wanted, ...look });
    await convert("grouped", "small-mla", { wanted: { ...wanted, variant: undefined }, ...look });
    const [mla, gqla] = [await logitsOf("small-mla"), await logitsOf("small-gqla")];
    for (const after of gqla) expect(farthest(mla[0]!, after)).toBeLessThan(2e-5);
  });

  test("is refused where there are biases", async () => {
    const config = own("[GQA2-16]");
    await writeSampleFolder(
      path("biased"),
      { ...presetConfig("llama", "tiny"), attention_bias: true, hidden_size: config.hidden_size },
      { seed: 3, type: "F32" },
    );
    await expect(convert("biased", "no", { wanted: shared })).rejects.toThrow(
      /layer 0: got biases, expected none, for which GQLA/,
    );
  });
});

describe("as GLA", () => {
  const split = { ...exact, variant: "GLA", latents: 2 } as const;
  const look = { text, tokens: 64, length: 32, threads: 1 };

  test("is the same function, with a latent for each group, in Biform's own format", async () => {
    const { target } = await convert("grouped", "gla", { wanted: split });
    expect(target.refused[0]).toMatch(/^deepseek_v3: model_type: got GLA, expected MLA/);
    const { model } = await openModel(path("gla"));
    expect(model.layers.map(({ attention: { variant, sizes } }) => [variant.name, sizes.g, sizes.c])).toEqual(
      model.layers.map(() => ["GLA", 2, 16]),
    );
    const before = (await logitsOf("grouped"))[0]!;
    for (const after of await logitsOf("gla")) expect(farthest(before, after)).toBeLessThan(2e-5);
  });

  test("smaller by text keeps to its budget, and with whole latents is what MLA is", async () => {
    const wanted = { ...split, method: "biform" } as const;
    const { price } = await convert("grouped", "small-gla", { wanted, budget: 40, ...look });
    expect(price.after).toBe(2 * price.wanted.c + price.wanted.r);
    expect(price.after).toBeLessThanOrEqual(40);
    const { variant, sizes } = (await openModel(path("small-gla"))).model.layers[0]!.attention;
    expect([variant.name, sizes.g, sizes.c, sizes.r]).toEqual(["GLA", 2, price.wanted.c, price.wanted.r]);
    const { r } = price.wanted;
    for (const [name, variant] of [
      ["whole-gla", "GLA"],
      ["whole-mla", undefined],
    ] as const)
      await convert("grouped", name, { wanted: { ...wanted, variant, r }, ...look });
    const [mla, gla] = [await logitsOf("whole-mla"), await logitsOf("whole-gla")];
    for (const after of gla) expect(farthest(mla[0]!, after)).toBeLessThan(2e-5);
  });

  test("and merged groups of heads are a stock model whose cache is that of GQA", async () => {
    const merge = { ...exact, method: "merge", groups: 1 } as const;
    const { price, target } = await convert("grouped", "merged", { wanted: merge });
    expect(target.architecture).toBe("deepseek_v3");
    expect([price.before, price.after]).toEqual([64, 32]);
    expect(price.layers[0]!.lost.at(-1)).toBeGreaterThan(0.1);
    const { model } = await openModel(path("merged"));
    expect(model.layers[0]!.attention.sizes).toMatchObject({ c: 16, r: 16 });
    await expect(convert("grouped", "no", { wanted: { ...merge, groups: 2 } })).rejects.toThrow(
      /g: got 2 groups, expected fewer than the layer's 2/,
    );
    // What keeps all has no sizes to choose: none that is asked for is passed over.
    const no = (wanted: ConvertOptions["wanted"], budget?: number) => convert("grouped", "no", { wanted, budget });
    await expect(no(merge, 20)).rejects.toThrow(/c, r: got 4 and 16, expected 16 and 16, all that merge keeps/);
    await expect(no({ ...exact, c: 8 })).rejects.toThrow(
      /c, r: got 8 and 32, expected 32 and 32, all that exact keeps/,
    );
    await expect(no({ ...exact, r: 8 })).rejects.toThrow(/c, r: got 32 and 8, expected 32 and 32/);
    await expect(no({ ...exact, q: 8 })).rejects.toThrow(/q: got exact, expected biform or transmla/);
  });

  test("is refused by the rule that stands in the way", async () => {
    const no = (wanted: object) => convert("grouped", "no", { wanted: { ...split, ...wanted }, ...look });
    await expect(no({ latents: 3 })).rejects.toThrow(/g: got 3 latents, expected 2 or more that divide 2, the groups/);
    await expect(no({ method: "transmla", c: 8, r: 16 })).rejects.toThrow(
      /GLA: got transmla, expected exact, biform or/,
    );
    await expect(no({ method: "biform", c: 8, r: 16, q: 4 })).rejects.toThrow(/q: got a bottleneck of queries for GLA/);
    await expect(convert("biased", "no", { wanted: split })).rejects.toThrow(
      /got biases, expected none, for which GLA/,
    );
  });
});

describe("a checkpoint that is read layer by layer", () => {
  test.each(["folder", "linear", "q8.gguf"])(
    "shows the same inputs as one in memory, bit for bit: %s",
    async (name) => {
      const config = own("[GQA2-16]", { num_hidden_layers: 2, hidden_size: 64 });
      if (name === "folder") await writeSampleFolder(path(name), config, { seed: 5, type: "BF16" });
      if (name === "q8.gguf") await writeSampleGguf(path(name), config, { seed: 5, type: "Q8_0" });
      const wasm = await WasmDevice.open({ threads: 1 });
      const opened = await openModel(path(name));
      const { model, weights } = await loadModel(path(name), wasm, { weights: "packed" });
      const sequences = [ids, ids.slice(2, 9)];
      const seen = model.layers.map((): number[] => []);
      for (const sequence of sequences) {
        const waiting: Promise<void>[] = [];
        let layer = 0;
        const watch = (hidden: { read(): Promise<ArrayLike<number>> }) => {
          const i = layer++;
          if (i < model.layers.length)
            waiting.push(hidden.read().then((rows) => void seen[i]!.push(...Array.from(rows))));
        };
        forward(model, weights, sequence, { positions: positionsOf(0, sequence.length), watch }).free();
        await Promise.all(waiting);
      }
      const before = wasm.liveBytes;
      let most = 0;
      for await (const { layer, hidden } of walkLayers(fileStack(opened, wasm), sequences)) {
        const rows: number[] = [];
        for (const x of hidden) rows.push(...Array.from(await x.read()));
        expect(rows).toEqual(seen[layer]);
        most = Math.max(most, wasm.liveBytes - before);
      }
      // Afterwards nothing is left, and never is more there than one layer and what goes in.
      expect(wasm.liveBytes).toBe(before);
      const layers = before - [weights.get("embed")!, weights.get("norm")!].reduce((sum, t) => sum + bytesOf(t), 0);
      expect(most).toBeLessThan(layers / model.layers.length + 18 * model.width * 4 + 64 * 1024);
      const asked = (layer: number) => model.layers[layer]!.attention.variant.name === "GQA";
      const [whole, apart] = [stackOf(model, weights), fileStack(opened, wasm)].map((stack) =>
        collect(inputsOf(stack, sequences, asked)),
      );
      expect(await apart).toEqual(await whole);
      wasm.close();
    },
  );
});

const bytesOf = ({ shape }: { shape: readonly number[] }) => 4 * shape.reduce((a, b) => a * b, 1);
