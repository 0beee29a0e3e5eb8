import { roofline } from "../../src/cost/crossover.ts";
import type { Host } from "../../src/cost/host.ts";
import { plan } from "../../src/plan/plan.ts";
import { presets } from "../../src/plan/preset/preset.ts";
import { decides } from "../../src/plan/read/ledger.ts";
import { blueprintOfText } from "../../src/plan/read/text.ts";
import { planSchema } from "../../src/plan/schema.ts";
import { FormatError, ShapeError } from "../../src/tensor/error.ts";
import { parseJson } from "../../src/tensor/json.ts";
import type { Random } from "../../src/tensor/random.ts";
import { readConfigs } from "../corpus/configs/read.ts";
import { copyOf } from "./mutate.ts";
import type { Target } from "./target.ts";

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Configs as they are in the world: the presets', the hub's, those of transformers' classes. */
const configs: readonly Json[] = [
  ...presets.map(({ config }) => config),
  ...readConfigs("hub").map(({ config }) => config),
  ...readConfigs("transformers").map(({ config }) => config),
];

/** Every key that one of them has, so that a config also gets those of others. */
const keys = [...new Set(configs.flatMap((config) => Object.keys(textOf(config))))];

/** The part of a config that describes the language model, as readers find it. */
function textOf(config: Json): Json {
  for (const key of ["text_config", "llm_config", "language_config", "thinker_config"])
    if (isObject(config[key])) return textOf(config[key]);
  return config;
}

/** The end of names that no reader can know. */
const ALIEN = "_alien";
const aliens = [
  "kv_share_every",
  "sliding_cache",
  "index_pool_ratio",
  "cross_layer_window",
  "latent_head_dim",
  "ssm_state",
];

/** What no size is, and what one can be. */
const strange: readonly unknown[] = [
  0,
  1,
  2,
  3,
  7,
  -1,
  -64,
  0.5,
  1.5,
  64,
  128,
  4096,
  2 ** 31,
  2 ** 53,
  1e300,
  Number.POSITIVE_INFINITY,
  Number.NaN,
  true,
  false,
  null,
  "",
  "64",
  "full_attention",
  "mamba",
  [],
  [0],
  [1, 2, 3],
  [[]],
  ["linear_attention", "full_attention"],
  {},
  { head_dim: 8 },
];

function another(random: Random, value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && random.integer(3)) {
    const at = random.integer(value.length);
    switch (random.integer(4)) {
      case 0:
        return value.slice(0, at);
      case 1:
        return [...value, ...value.slice(0, at + 1)];
      case 2:
        return value.toReversed();
      default:
        return value.with(at, random.integer(2) ? random.pick(value) : random.pick(strange));
    }
  }
  if (typeof value === "number" && random.integer(2))
    return random.pick([value + 1, value - 1, 2 * value, value / 2, -value]);
  return random.pick(strange);
}

/** One thing of a config changed: a key that is missing, has another's name or value, or that nobody knows. */
function harm(random: Random, config: Json): void {
  const text = textOf(config);
  const inner = Object.values(text).filter(isObject);
  const part = inner.length > 0 && random.integer(4) === 0 ? random.pick(inner) : text;
  const names = Object.keys(part);
  const name = names.length ? random.pick(names) : "model_type";
  switch (random.integer(8)) {
    case 0:
      delete part[name];
      return;
    case 1:
      part[random.pick(keys)] = part[name];
      delete part[name];
      return;
    case 2: {
      const other = names.length ? random.pick(names) : name;
      [part[name], part[other]] = [part[other], part[name]];
      return;
    }
    case 3:
      part[random.pick(aliens) + ALIEN] = copyOf(random.pick([1, 2, 64, true, "x", [1, 2]]));
      return;
    case 4:
      part[random.pick(keys)] = copyOf(another(random, random.pick(configs)[name]));
      return;
    default:
      part[name] = copyOf(another(random, part[name]));
  }
}

/** JSON as Python writes it, with bare Infinity and NaN. */
function write(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(write).join()}]`;
  if (isObject(value))
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}:${write(inner)}`)
      .join()}}`;
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "null");
}

const host: Host = { name: "h", measured: false, memory: 80e9, rates: () => roofline({ flops: 1e15, bytes: 3e12 }) };

/** Keys of the language model, and of objects that decide in it, that decide themselves and that no reader can know. */
function aliensOf(config: Json): string[] {
  const text = textOf(config);
  const inner = Object.entries(text).flatMap(([key, value]) => (isObject(value) && decides(key) ? [value] : []));
  return [text, ...inner].flatMap((part) =>
    Object.keys(part).filter((key) => key.endsWith(ALIEN) && decides(key) && says(part[key])),
  );
}

/** Whether a value says that something is there. */
const says = (value: unknown): boolean =>
  Array.isArray(value) ? value.some(says) : value === true || (typeof value === "number" && value > 0) || value === "x";

/** Numbers that JSON has no words for, by their place. */
function unspeakable(value: unknown, path = ""): string[] {
  if (typeof value === "number") return Number.isFinite(value) ? [] : [`${path} ${value}`];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => unspeakable(inner, `${path}.${key}`));
}

export const config: Target = {
  make(random) {
    const copy = copyOf(random.pick(configs)) as Json;
    for (let n = random.integer(4); n > 0; n--) harm(random, copy);
    return new TextEncoder().encode(write(copy));
  },
  async read(bytes) {
    const text = new TextDecoder().decode(bytes);
    try {
      const made = plan(blueprintOfText(text, "fuzzed"), {
        context: 4096,
        batch: 2,
        step: 1,
        weightType: "bfloat16",
        cacheType: "float16",
        hosts: [host],
        layouts: [],
      });
      const wrong = [...unspeakable(made), ...aliensOf(parseJson(text) as Json).map((key) => `${key} was not read`)];
      if (wrong.length > 0) throw new Error(`a plan's promise is broken: ${wrong.slice(0, 5).join(", ")}`);
      planSchema.parse(made);
    } catch (error) {
      // Sizes that are no variant's are refused as such.
      throw error instanceof ShapeError ? new FormatError(error.message, { cause: error }) : error;
    }
  },
};
