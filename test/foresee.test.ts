import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import { writeConversion } from "../src/convert/write.ts";
import type { TensorReader } from "../src/file/safetensors.ts";
import { type CheckpointResult, holdBeside } from "../src/lab/beside.ts";
import { foresee } from "../src/lab/foresee.ts";
import { biform } from "./fixture/command.ts";
import { scratch } from "./fixture/scratch.ts";

// What a dry run says of a text, beside what the written checkpoint makes of it.

const text = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(12);
const exact = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
const biform12 = { ...exact, method: "biform", c: 12, r: 8 } as const;

let [dir, end] = ["", async () => {}];
const path = (name: string) => join(dir, name);
beforeAll(async () => {
  ({ dir, end } = await scratch("foresee"));
  const narrow = {
    ...presetConfig("llama", "tiny"),
    ...{ hidden_size: 64, intermediate_size: 96, head_dim: 16, num_attention_heads: 4, num_key_value_heads: 2 },
  };
  await writeSampleFolder(path("tied"), { ...narrow, tie_word_embeddings: true }, { seed: 3, type: "F32" });
  await writeSampleFolder(path("untied"), { ...narrow, tie_word_embeddings: false }, { seed: 4, type: "F32" });
  const hybrid = {
    ...{ architectures: ["BiformForCausalLM"], model_type: "biform", attention: "[GDN,GQA2-16,GDN]" },
    ...{ attention_dims: "exact", vocab_size: 272, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 4 },
    ...{ intermediate_size: 40, tie_word_embeddings: true, max_position_embeddings: 64 },
  };
  await writeSampleFolder(path("hybrid"), hybrid, { seed: 3, type: "F32" });
  await writeFile(path("text.txt"), text);
});
afterAll(() => end());

describe("a conversion is foreseen on text as it will be", () => {
  const read = { name: "text", text, tokens: 96, length: 32, threads: 1 } as const;
  test.each([
    ["by biform", "tied", { wanted: biform12, text, tokens: 128, length: 32 }],
    [
      "by transmla",
      "untied",
      { wanted: { ...biform12, method: "transmla", c: 12, r: 16 }, text, tokens: 128, length: 32 },
    ],
    ["exactly", "untied", { wanted: exact }],
    ["beside layers that stay", "hybrid", { wanted: biform12 }],
    ["merged", "tied", { wanted: { ...exact, method: "merge", groups: 1 } }],
    ["as GLA", "tied", { wanted: { ...biform12, variant: "GLA", latents: 2, c: 8 } }],
  ] as const satisfies readonly (readonly [string, string, ConvertOptions])[])("%s", async (_, from, options) => {
    const conversion = await Conversion.open(path(from), { threads: 1, ...options });
    const seen: number[] = [];
    const foreseen = await foresee(conversion, read, (__, done) => seen.push(done));
    const { layers } = conversion.opened.model;
    expect(seen).toEqual(layers.map((__, i) => i + 1));
    await conversion.close();
    const out = path(`out-${from}-${options.wanted.method}`);
    await rm(out, { recursive: true, force: true });
    const making = await Conversion.open(path(from), { threads: 1, ...options });
    await writeConversion(making, out);
    await making.close();
    const settings = { ...read, texts: [read], needles: [], needlesEach: 0, contexts: [] };
    const written = await holdBeside([path(from), out], settings);
    const of = ({ cachePerLayer, layers, texts: [found] }: CheckpointResult) => {
      const { tokens, perplexity, ratio, divergence, agreement } = found!;
      return { cachePerLayer, layers, tokens, agreement: agreement.mean, perplexity, ratio, divergence };
    };
    for (const [i, result] of foreseen.entries()) {
      const [own, expected] = [of(result), of(written[i]!)];
      expect([own.cachePerLayer, own.layers, own.tokens, own.agreement]).toEqual([
        expected.cachePerLayer,
        expected.layers,
        expected.tokens,
        expected.agreement,
      ]);
      for (const key of ["perplexity", "ratio"] as const)
        for (const end of ["mean", "low", "high"] as const)
          expect(Math.abs(own[key][end]! / expected[key][end]! - 1)).toBeLessThan(1e-4);
      expect(Math.abs(own.divergence.mean - expected.divergence.mean)).toBeLessThan(1e-6);
    }
    if (options.wanted.method !== "exact") expect(of(foreseen[1]!).divergence.mean).toBeGreaterThan(1e-5);
  });

  test("a text that is too short is told", async () => {
    const conversion = await Conversion.open(path("tied"), { wanted: exact });
    await expect(foresee(conversion, { ...read, text: "short" })).rejects.toThrow(
      /text: got fewer than 32 tokens, expected at least one sequence/,
    );
    await conversion.close();
  });
});

describe("a dry run reads a checkpoint once, and once more to read text as it would be", () => {
  const look = { text, tokens: 128, length: 32 };
  const two = { ...exact, c: 12, r: 16 } as const;
  // How often the attention, the feed-forward halves and the embedding are read: text goes through all of them, weights alone do not ask.
  test.each([
    ["exact", { wanted: exact }, [1, 0, 0]],
    ["merge", { wanted: { ...exact, method: "merge", groups: 1 } }, [1, 0, 0]],
    ["biform by weights", { wanted: biform12 }, [1, 0, 0]],
    ["biform", { wanted: biform12, ...look }, [1, 1, 1]],
    ["a budget", { wanted: { ...exact, method: "biform" }, budget: 24, ...look }, [1, 1, 1]],
    ["GLA", { wanted: { ...biform12, variant: "GLA", latents: 2, c: 8 }, ...look }, [1, 1, 1]],
    ["mha2mla", { wanted: { ...biform12, method: "mha2mla" }, ...look }, [1, 1, 1]],
    // Their text goes through the model twice, side by side, each with an embedding of its own.
    ["2-norm", { wanted: { ...biform12, method: "mha2mla", selection: "2-norm" }, ...look }, [1, 1, 2]],
    ["transmla", { wanted: { ...two, method: "transmla" }, ...look }, [1, 1, 2]],
    ["care", { wanted: { ...two, method: "care" }, ...look }, [1, 1, 2]],
    ["care-separate", { wanted: { ...two, method: "care-separate" }, ...look }, [1, 1, 2]],
    ["care-sequential", { wanted: { ...two, method: "care-sequential" }, ...look }, [1, 1, 2]],
  ] as const satisfies readonly (readonly [string, ConvertOptions, readonly number[]])[])(
    "%s",
    async (_, options, once) => {
      const conversion = await Conversion.open(path("untied"), { threads: 1, ...options });
      const { tensors } = conversion.opened;
      const read = new Map(tensors.names.map((name) => [name, 0]));
      const count = (name: string, bytes: number) => {
        const { begin, end } = tensors.entry(name);
        read.set(name, read.get(name)! + bytes / (end - begin));
      };
      const own = { ...tensors };
      Object.assign(tensors, {
        read(name: string) {
          count(name, tensors.entry(name).end - tensors.entry(name).begin);
          return own.read(name);
        },
        readBytes(name: string, offset: number, into: Uint8Array) {
          count(name, into.length);
          return own.readBytes(name, offset, into);
        },
      } satisfies Partial<TensorReader>);
      // A few bytes of every tensor tell one checkpoint from another: a quarter of the shortest.
      const times = (part: RegExp) => [
        ...new Set([...read].flatMap(([name, of]) => (part.test(name) ? [Math.floor(of)] : []))),
      ];
      const all = () => [/self_attn/, /mlp/, /embed/, /lm_head/].map(times);
      await conversion.price(undefined, true);
      expect(all()).toEqual([...once.map((of) => [of]), [0]]);
      await foresee(conversion, { name: "text", ...look, threads: 1 });
      expect(all()).toEqual([...once.map((of) => [of + 1]), [1]]);
      await conversion.close();
    },
  );
});

test("a dry run with text prints it, and leaves nothing", async () => {
  const words = "convert tied --to MLA:c12:r8 --text text.txt --tokens 96 --length 32 --threads 1 --dry-run";
  const { status, stdout } = await biform(dir, words.split(" "));
  expect(status).toBe(0);
  expect(stdout).toMatch(/^text\.txt: 93 tokens in 3 sequences/m);
  expect(stdout).toMatch(/^tied +\d/m);
  expect(stdout).toMatch(/^as MLA +20 +\d.*\[/m);
  const json = await biform(dir, [...words.split(" "), "--json"]);
  const { losses } = JSON.parse(json.stdout);
  expect(losses.map(({ path, cachePerLayer }: CheckpointResult) => [path, cachePerLayer])).toEqual([
    ["tied", 64],
    ["as MLA", 20],
  ]);
  await expect(readFile(path("as MLA"))).rejects.toThrow(/ENOENT/);
});
