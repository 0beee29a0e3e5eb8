import { describe, expect, test } from "vitest";
import { countParameters } from "../src/cost/blueprint.ts";
import { bytesPerToken, formsOf, valuesPerLayer } from "../src/cost/cost.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { readConfigs } from "./corpus/configs/read.ts";

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);
const layersOf = (name: string) => blueprint(name).layers.reduce((sum, { count }) => sum + count, 0);

test("there are at least 150, and each name and alias is one preset's, in lower case", () => {
  expect(presets.length).toBeGreaterThanOrEqual(150);
  const names = presets.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  expect(names.filter((name) => !/^[a-z0-9][a-z0-9.-]*$/.test(name))).toEqual([]);
});

test("a preset is found by its name and aliases, whatever their case", () => {
  expect(presetOf("DeepSeek-R1")?.name).toBe("deepseek-r1");
  expect(presetOf("Llama-3.3-70B")?.name).toBe("llama-3.1-70b");
  expect(presetOf("deepseek-r2")).toBeUndefined();
});

describe("every preset", () => {
  test.each(presets.map((preset) => [preset.name, preset] as const))("%s", (name, preset) => {
    // Says whose config it is, and what it was compared with or where it is from memory.
    expect(preset.source).toMatch(/config\.json|params\.json|arXiv|model card|PLM-Team/);
    const blueprint = blueprintOfConfig(preset.config, name);
    const { total, active, hosted } = countParameters(blueprint);
    const read = (blueprint.tables ?? []).reduce((sum, { read }) => sum + read, 0);
    const { published, differs } = preset;
    if (published?.total) {
      const off = Math.abs(total / published.total - 1);
      // Publishers round: one percent, or a reason. A reason for what fits would be stale.
      if (differs) expect(off).toBeGreaterThan(0.01);
      else expect(off).toBeLessThanOrEqual(0.01);
      expect(off).toBeLessThan(0.13);
    }
    // Active counts come in whole or half billions, with the tables of the vocabulary or without.
    if (published?.active) {
      const { tables } = countParameters(blueprintOfConfig(preset.config, name));
      const counts = [active, active - tables / 2, active - tables];
      const off = Math.min(...counts.map((count) => Math.abs(count - published.active!)));
      expect(off).toBeLessThanOrEqual(Math.max(0.05 * published.active, 0.5e9));
    } else if (!blueprint.layers.some(({ feed }) => feed.experts)) expect(active).toBe(total - hosted + read);
  });
});

test("every preset states the published count, or where it is from that there is none", () => {
  const without = presets.filter(({ published }) => !published?.total);
  const saying = presets.filter(({ source }) => source.includes("no count of its parameters is published"));
  expect(saying).toEqual(without);
  // What no count holds is held to transformers' class (test/field.test.ts).
  expect(without.map(({ name }) => name)).toEqual(["a.x-k2-light"]);
});

test("a preset has the quantization that its publisher's config ships", () => {
  const shipped = readConfigs("hub").filter(({ config }) => "quantization_config" in config);
  const found = shipped.flatMap(({ name, config }) => {
    const preset = presets.find(({ source }) => source.startsWith(`${name} config.json`));
    // A second file of the same model, in fewer bits, is told by its name.
    return preset && !/-(FP8|NVFP4)$/.test(name) ? [[preset, config.quantization_config] as const] : [];
  });
  expect(found.length).toBeGreaterThan(8);
  for (const [{ name, config }, theirs] of found) {
    const [mine, wanted] = [config.quantization_config, theirs] as Record<string, unknown>[];
    expect([name, mine?.quant_method ?? mine?.format]).toEqual([name, wanted!.quant_method ?? wanted!.format]);
    expect([name, mine?.weight_block_size ?? null]).toEqual([name, wanted!.weight_block_size ?? null]);
  }
});

// What a token leaves: DeepSeek-V2's paper, tables 1 and 9 (arXiv 2405.04434), others as their sources count.
test.each([
  ["deepseek-v2-lite", "absorbed", 15_552],
  ["deepseek-v2-lite", "expanded", 138_240],
  ["deepseek-v2", "absorbed", 34_560],
  ["deepseek-v3", "absorbed", 576 * 61],
  ["step-3", "expanded", 512 * 61],
  ["llama-3.1-8b", "expanded", 65_536],
  ["kimi-linear", "absorbed", 576 * 7],
] as const)("%s leaves as many %s numbers in all layers as is published", (name, form, values) => {
  expect(valuesPerLayer(blueprint(name), form) * layersOf(name)).toBeCloseTo(values, 6);
});

test.each([
  ["youtu-llm-2b", "absorbed", 36_864],
  ["youtu-llm-2b", "expanded", 327_680],
  ["minicpm3-4b", "absorbed", 35_712],
  ["minicpm3-4b", "expanded", 793_600],
  ["glm-4.7-flash", "absorbed", 54_144],
  ["deepseek-coder-v2-lite", "expanded", 276_480],
] as const)("%s leaves as many bytes in %s form and float16 as is published", (name, form, bytes) => {
  expect(bytesPerToken(blueprint(name), form, "float16")).toBe(bytes);
});

test("latent models can be kept in two forms, others in one", () => {
  const two = presets.filter(({ name }) => formsOf(blueprint(name)).length === 2).map(({ name }) => name);
  const latent = presets.filter(({ config }) => JSON.stringify(config).includes('"kv_lora_rank"'));
  expect(two).toEqual(latent.map(({ name }) => name));
});
