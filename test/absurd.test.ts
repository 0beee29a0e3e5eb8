import { describe, expect, test } from "vitest";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { decides } from "../src/plan/read/ledger.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { readConfigs } from "./corpus/configs/read.ts";
import { long } from "./extent.ts";

// Every key that decides, of every config that is planned, with values that no model has: one error each, with the key's name.

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const textOf = (config: Json): Json => {
  const inner = ["text_config", "llm_config", "language_config", "thinker_config"].find((key) => isObject(config[key]));
  return inner === undefined ? config : textOf(config[inner] as Json);
};

/** What a config is refused with; undefined where it is planned. */
function refusal(config: Json): string | undefined {
  try {
    blueprintOfConfig(config, "m");
    return undefined;
  } catch (error) {
    if (error instanceof FormatError || error instanceof ShapeError) return error.message;
    throw error;
  }
}

const planned = [...readConfigs("hub"), ...readConfigs("transformers"), ...presets]
  .map(({ name, config }) => ({ name, config: config as Json }))
  .filter(({ config }) => refusal(config) === undefined);

/** Places of keys that decide, each in the first two configs that have it. */
const places = new Map<string, { name: string; config: Json; path: readonly string[] }[]>();
for (const one of planned) {
  const text = textOf(one.config);
  const within = Object.entries(text).flatMap(([key, value]) =>
    isObject(value) && decides(key) ? Object.keys(value).map((inner) => [key, inner]) : [],
  );
  for (const path of [...Object.keys(text).map((key) => [key]), ...within].filter((path) => decides(path.at(-1)!))) {
    const found = places.get(path.join(".")) ?? [];
    if (found.length < (long ? 2 : 1)) places.set(path.join("."), [...found, { ...one, path }]);
  }
}

const absurd = [
  -5,
  0.5,
  "x",
  { a: 1 },
  2 ** 53,
  1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  [-5],
  ["x"],
  [0.5],
  [[1]],
];

describe.each([...places])("%s", (_, uses) => {
  test.each(uses)("of $name", ({ config, path }) => {
    for (const value of absurd) {
      const copy = structuredClone(config);
      const part = path.slice(0, -1).reduce<Json>((inner, key) => inner[key] as Json, textOf(copy));
      // The bound of a decay is -5 in truth.
      if (part[path.at(-1)!] === value) continue;
      part[path.at(-1)!] = value;
      const said = refusal(copy);
      expect(said, `${value} is planned`).toBeDefined();
      expect(said).toContain(path.at(-1)!);
      expect(said).toMatch(/: got .*expected /s);
    }
  });
});

test("nothing is pooled by 0", () => {
  const ratios = [...places].filter(([path, [use]]) => {
    const value = use!.path.reduce<unknown>((inner, key) => (inner as Json)[key], textOf(use!.config));
    return /ratio|kpool|compress_rates/.test(path) && typeof value === "number" && value > 0;
  });
  expect(ratios.length).toBeGreaterThan(2);
  for (const [path, uses] of ratios)
    for (const { config, path: keys } of uses) {
      const copy = structuredClone(config);
      const part = keys.slice(0, -1).reduce<Json>((inner, key) => inner[key] as Json, textOf(copy));
      part[keys.at(-1)!] = 0;
      expect(refusal(copy), path).toContain(keys.at(-1)!);
    }
});

test("there are many such keys, and a key that nobody knows is refused in every config that has it", () => {
  expect(places.size).toBeGreaterThan(60);
  const unknown = ["kv_share_every", "sliding_cache", "index_pool", "cross_layer_window", "mamba_d_odd"];
  for (const [i, { name, config }] of planned.entries())
    for (const key of long ? unknown : [unknown[i % unknown.length]!]) {
      const copy = structuredClone(config);
      textOf(copy)[key] = 2;
      expect(refusal(copy), `${key} in ${name}`).toContain(key);
    }
});

test("a token visits no more experts than there are, those that do nothing among them", () => {
  const config = { ...presetOf("longcat-flash")!.config, moe_topk: 769 };
  expect(() => blueprintOfConfig(config, "x")).toThrow(
    "num_experts_per_tok: got 769, expected at most the 768 experts",
  );
  expect(() => blueprintOfConfig({ ...config, moe_topk: 768 }, "x")).not.toThrow();
});
