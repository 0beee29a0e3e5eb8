import { describe, expect, test } from "vitest";
import { roofline } from "../src/cost/crossover.ts";
import type { Host } from "../src/cost/host.ts";
import { comparePlans, differenceJsonSchema, differenceSchema } from "../src/plan/difference.ts";
import { type PlanSettings, plan } from "../src/plan/plan.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { differenceTable } from "../src/plan/show/difference.ts";
import { ShapeError } from "../src/tensor/error.ts";

const host: Host = { name: "h", measured: false, memory: 80e9, rates: () => roofline({ flops: 1e15, bytes: 3e12 }) };
const settings: PlanSettings = {
  context: 8192,
  batch: 2,
  step: 1,
  weightType: "bfloat16",
  cacheType: "float16",
  hosts: [host],
  layouts: ["tp8"],
};
type Config = Readonly<Record<string, unknown>>;
const planOf = (config: Config, more: Partial<PlanSettings> = {}) =>
  plan(blueprintOfConfig(config, "m"), { ...settings, ...more });
const preset = (name: string) => planOf(presetOf(name)!.config);
/** What differs, as JSON has it. */
const compare = (a: ReturnType<typeof planOf>, b: ReturnType<typeof planOf>) => {
  const difference = JSON.parse(JSON.stringify(comparePlans(a, b)));
  expect(differenceSchema.parse(difference)).toEqual(difference);
  return differenceSchema.parse(difference);
};
const qwen = presetOf("qwen3-8b")!.config;

test("a model and itself differ in nothing", () => {
  for (const { config } of presets) {
    const { layers, changes } = compare(planOf(config, { layouts: [] }), planOf(config, { layouts: [] }));
    expect([layers, changes]).toEqual([[], []]);
  }
  expect(differenceTable(comparePlans(planOf(qwen), planOf(qwen)), planOf(qwen))).toMatch(/nothing that a plan says/);
});

test("half the key and value heads: half the cache, everywhere that it is told, and nothing else of it", () => {
  const [a, b] = [planOf(qwen), planOf({ ...qwen, num_key_value_heads: 4 })];
  const { layers, changes } = compare(a, b);
  const fewer = 36 * 2 * 4 * 128 * 4096;
  expect(changes.filter(({ part }) => part === "parameters")).toEqual([
    expect.objectContaining({ what: "in all", a: a.parameters.total, b: a.parameters.total - fewer }),
    expect.objectContaining({ what: "at work on a token", a: a.parameters.active, b: a.parameters.active - fewer }),
  ]);
  const cache = changes.filter(({ part }) => part === "cache" || part === "engines");
  expect(cache.length).toBeGreaterThan(10);
  for (const { ratio } of cache) expect(ratio).toBe(0.5);
  expect(changes.find(({ what }) => what === "expanded, float16: in all")).toMatchObject({
    part: "cache",
    unit: "bytes",
    a: 2 * 8192 * 36 * 2 * 8 * 128 * 2,
    asked: true,
  });
  expect(changes.some(({ part }) => part === "sizes")).toBe(false);
  expect(layers).toEqual([
    {
      a: { variant: "GQA", count: 36 },
      b: { variant: "GQA", count: 36 },
      changed: expect.arrayContaining([
        { what: "sizes.g", a: 8, b: 4 },
        { what: "cache.expanded", a: 2048, b: 1024 },
      ]),
    },
  ]);
});

test("every number is the plan's own, and every ratio that of its numbers", () => {
  const [a, b] = [preset("deepseek-v3"), preset("glm-5")];
  const { changes, a: first } = compare(a, b);
  expect(first).toEqual(JSON.parse(JSON.stringify(a.model)));
  const of = (part: string, what: string, unit?: string) =>
    changes.find((change) => change.part === part && change.what === what && (!unit || change.unit === unit));
  expect(of("machines", "h: decoding step")).toMatchObject({
    a: a.machines[0]!.decode[0]!.seconds,
    b: b.machines[0]!.decode[0]!.seconds,
  });
  expect(of("machines", "h: prefill")?.b).toBe(b.machines[0]!.prefill[0]!.seconds);
  expect(of("layouts", "tp8: cache of a rank")?.a).toBe(a.layouts[0]!.cacheBytesPerRank);
  expect(of("weights", "bfloat16")?.a).toBe(2 * a.parameters.total);
  const step = (of: typeof a) => of.costs.find(({ phase, context }) => phase === "decode" && context === 8192)!;
  expect(of("work", "decode, expanded over expanded, 8192 tokens", "FLOPs")).toMatchObject({
    a: step(a).flops,
    b: step(b).flops,
    asked: false,
  });
  for (const { a, b, ratio } of changes)
    expect(ratio).toBe(typeof a === "number" && a !== 0 && typeof b === "number" ? b / a : undefined);
});

test("what only one model has has no other value, and a length without an end is told as one", () => {
  // All layers with a window: no context fills the memory.
  const windowed = { ...qwen, sliding_window: 4096, use_sliding_window: true, max_window_layers: 0 };
  const { layers, changes } = compare(planOf(qwen), planOf(windowed));
  expect(changes.find(({ what }) => what === "h: most tokens")).toMatchObject({ a: expect.any(Number), b: null });
  expect(layers[0]!.changed).toEqual([{ what: "window", b: 4096 }]);
  const unlike = compare(preset("llama-3.1-8b"), preset("deepseek-v2-lite"));
  const latent = unlike.changes.find(({ what }) => what === "absorbed, float16: of a token")!;
  expect([latent.a, latent.ratio]).toEqual([undefined, undefined]);
  expect(unlike.layers.map(({ a, b }) => [a?.variant, b?.variant])).toContainEqual(["GQA", "MLA"]);
  const text = differenceTable(unlike, preset("llama-3.1-8b"));
  expect(text).toMatch(/GQA -> MLA/);
});

describe("kinds of layers", () => {
  test("stand beside their like, and only what differs is told", () => {
    const { layers } = compare(preset("qwen3-next-80b-a3b"), preset("qwen3.5-35b-a3b"));
    expect(layers.length).toBeGreaterThan(0);
    for (const { a, b, changed } of layers) {
      if (a && b) expect(a.variant).toBe(b.variant);
      for (const { a: first, b: second } of changed) expect(first).not.toBe(second);
    }
  });
});

test("plans for other settings are not compared", () => {
  expect(() => comparePlans(planOf(qwen), planOf(qwen, { context: 4096 }))).toThrow(ShapeError);
});

test("the text has at most 100 columns and no number that is none", () => {
  for (const [at, { config }] of presets.entries()) {
    const [a, b] = [config, presets[(at * 7 + 3) % presets.length]!.config].map((one) => planOf(one, { layouts: [] }));
    const text = differenceTable(comparePlans(a!, b!), a!);
    for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(text).not.toMatch(/NaN|undefined|Infinity|null/);
  }
});

test("the schema is published under its name", () => {
  expect(differenceJsonSchema()).toMatchObject({ title: "biform plan --diff", type: "object" });
});
