// Converted checkpoints in engines as they come: transformers, llama.cpp where `npm ci --prefix parity` has put it, and how vLLM reads
// the config where BIFORM_PYTHON has it. An engine that is not here is told, and is no failure.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { presetConfig } from "../../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../../src/checkpoint/sample.ts";
import { Conversion, type ConvertOptions } from "../../src/convert/convert.ts";
import type { ArchitectureName } from "../../src/convert/target.ts";
import { writeConversion } from "../../src/convert/write.ts";
import type { Config } from "../../src/family/config.ts";
import { certificateMarkdown, certify } from "../../src/verify/certify.ts";
import { python } from "./python.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-certificate-"));
const before = process.env.BIFORM_PYTHON;
beforeAll(() => {
  process.env.BIFORM_PYTHON = python;
});
afterAll(() => {
  if (before === undefined) delete process.env.BIFORM_PYTHON;
  rmSync(scratch, { recursive: true, force: true });
});

const source = {
  ...presetConfig("llama", "tiny"),
  hidden_size: 128,
  intermediate_size: 192,
  head_dim: 32,
  num_attention_heads: 4,
  num_hidden_layers: 2,
};
const text = "the price of a latent is what it leaves out of keys and values. ".repeat(60);
const exact = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
const lossy = { text, tokens: 128, length: 32 } as const;

interface Case {
  readonly groups: number;
  readonly keys?: Config;
  readonly options: ConvertOptions;
  readonly as?: ArchitectureName;
  readonly target: ArchitectureName;
  /** What vLLM has to take the folder for; nothing where it computes something else. */
  readonly vllm?: string;
}

/** What has no class in vLLM: it runs transformers' own code. */
const generic = "TransformersForCausalLM";

const cases: Record<string, Case> = {
  gqa: {
    groups: 2,
    target: "minicpm3",
    options: { wanted: exact },
    vllm: "MiniCPM3ForCausalLM, keeps 4 keys and values of 66",
  },
  mqa: {
    groups: 1,
    keys: { tie_word_embeddings: true },
    target: "deepseek_v3",
    options: { wanted: exact },
    vllm: "DeepseekV3ForCausalLM, keeps a latent of 64",
  },
  biased: { groups: 2, keys: { attention_bias: true }, target: "youtu", options: { wanted: exact }, vllm: generic },
  odd: {
    groups: 3,
    keys: { num_attention_heads: 3, tie_word_embeddings: true },
    target: "youtu",
    options: { wanted: exact },
    vllm: generic,
  },
  asked: { groups: 2, as: "youtu", target: "youtu", options: { wanted: exact }, vllm: generic },
  transmla: {
    groups: 2,
    target: "deepseek_v3",
    options: { wanted: { ...exact, method: "transmla", c: 16, r: 32 }, ...lossy },
    vllm: "DeepseekV3ForCausalLM, keeps a latent of 48",
  },
  biform: {
    groups: 2,
    target: "minicpm3",
    options: { wanted: { ...exact, method: "biform", c: 32, r: 16 }, ...lossy },
    vllm: "MiniCPM3ForCausalLM, keeps 4 keys and values of 48",
  },
};

test.each(Object.entries(cases))(
  "%s",
  { timeout: 1_800_000 },
  async (name, { groups, keys, options, as, target: expected, vllm }) => {
    const at = (part: string) => join(scratch, `${name}-${part}`);
    const config = { ...source, num_key_value_heads: groups, ...keys };
    await writeSampleFolder(at("original"), config, { seed: 3, type: "F32" });
    const conversion = await Conversion.open(at("original"), { threads: 1, ...options });
    const { hindered, target } = await writeConversion(conversion, at("folder"), { as, also: at("file.gguf") });
    expect([hindered, target.architecture]).toEqual([undefined, expected]);
    const written = [at("folder"), at("file.gguf")];
    const certificate = await certify(at("original"), written, { lossy: conversion.wanted.method !== "exact" });
    console.log(certificateMarkdown(certificate));
    const of = (engine: string) => certificate.rows.filter((row) => row.engine.startsWith(engine));
    // Of whatever is written, only the original may be another function.
    for (const { difference, greedy } of certificate.rows.filter((row) => row.of !== at("original") && row.numbers)) {
      expect(difference).toBeLessThan(4e-6);
      expect(greedy).toBe(16);
    }
    expect(of("transformers").map(({ numbers }) => numbers)).toEqual(["float64", "float32"]);
    const [own] = of("Biform").filter((row) => row.of === at("folder"));
    for (const { cache, silent } of of("transformers")) expect([silent, cache]).toEqual([undefined, own!.cache]);
    const [read] = [...of("vLLM"), ...of("vllm")];
    if (read!.silent) expect(read!.silent).toMatch(/^vllm is not installed/);
    else if (vllm) expect(read!.taken).toBe(vllm);
    if (!read!.silent && target.architecture === "deepseek_v3") expect(read!.cache).toBe(own!.cache);
  },
);
