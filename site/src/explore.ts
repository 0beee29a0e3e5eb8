/** The crossover of MLA's forms at chosen sizes on a machine: what is asked, and what the library's predictions answer. */
import {
  activationBytes,
  arithmetic,
  blueprintOfConfig,
  type Contestant,
  crossoverChunk,
  crossoverContext,
  type Dtype,
  dtypes,
  hostOf,
  keptOf,
  type Machine,
  machineOf,
  mla,
  predict,
  presetOf,
  roofline,
  type Sizes,
  type StepSizes,
} from "biform/web";

/** What the explorer shows follows from this alone. */
export interface Exploration {
  /** The preset that width and query rank are of, and the other sizes where they were not moved. */
  readonly model: string;
  readonly h: number;
  readonly n: number;
  readonly r: number;
  readonly v: number;
  readonly c: number;
  readonly cache: Dtype;
  readonly weights: Dtype;
  /** A name of the table, or "own": then the two rates below, in TFLOP/s and GB/s. */
  readonly machine: string;
  readonly flops: number;
  readonly bytes: number;
  /** New tokens of a decoding step, sequences at a time, and tokens in all of a prefill over a cached prefix. */
  readonly step: number;
  readonly batch: number;
  readonly context: number;
}

export const models = ["deepseek-v2-lite", "deepseek-v3", "minicpm3-4b", "glm-4.7-flash", "mistral-small-4"] as const;
const types = Object.keys(dtypes) as Dtype[];

/** Numbers from and to; sizes are whole. */
export const ranges = {
  h: [1, 256],
  n: [16, 512],
  r: [0, 256],
  v: [16, 512],
  c: [32, 2048],
  flops: [0.001, 100_000],
  bytes: [0.1, 100_000],
  step: [1, 4096],
  batch: [1, 1024],
  context: [16, 16_777_216],
} as const;
type Numeric = keyof typeof ranges;
const numeric = Object.keys(ranges) as Numeric[];
const letters = ["h", "n", "r", "v", "c"] as const;

const known = new Map<string, Sizes>();

/** A preset's attention sizes, from its config. */
export function presetSizes(name: string): Sizes {
  const found = known.get(name) ?? blueprintOfConfig(presetOf(name)!.config, name).layers[0]!.attention.sizes;
  known.set(name, found);
  return found;
}

/** Where the explorer begins with a model. */
function beginning(model: string): Exploration {
  const { h, n, r, v, c } = presetSizes(model);
  return {
    model,
    h,
    n,
    r,
    v,
    c,
    cache: "float16",
    weights: "float16",
    machine: "h100-sxm",
    flops: 100,
    bytes: 500,
    step: 1,
    batch: 1,
    context: 32768,
  };
}

/** Reads what `writeExploration` wrote, or a link that somebody edited: a value that is none leaves the usual one. */
export function readExploration(record: Readonly<Record<string, string>>): Exploration {
  const model = models.find((name) => name === record.model) ?? "deepseek-v3";
  const start = beginning(model);
  const number = (key: Numeric) => {
    const value = Number(record[key]);
    return fits(key, value) && record[key] ? value : start[key];
  };
  const machine = record.machine ?? "";
  return {
    ...start,
    ...(Object.fromEntries(numeric.map((key) => [key, number(key)])) as Record<Numeric, number>),
    cache: types.find((type) => type === record.cache) ?? start.cache,
    weights: types.find((type) => type === record.weights) ?? start.weights,
    machine: machine === "own" ? machine : (machineOf(machine)?.name ?? start.machine),
  };
}

/** Whether a number may stand at a key. */
export function fits(key: Numeric, value: number): boolean {
  const [least, most] = ranges[key];
  const whole = key === "flops" || key === "bytes" || Number.isInteger(value);
  return whole && value >= least && value <= most && (key !== "r" || value % 2 === 0);
}

/** What differs from where its model begins, for a link. */
export function writeExploration(state: Exploration): Record<string, string> {
  const start = beginning(state.model);
  const keys = (Object.keys(start) as (keyof Exploration)[]).filter(
    (key) => key !== "model" && state[key] !== start[key] && (state.machine === "own" || !/^(flops|bytes)$/.test(key)),
  );
  const model = state.model === "deepseek-v3" ? {} : { model: state.model };
  return { ...model, ...Object.fromEntries(keys.map((key) => [key, String(state[key])])) };
}

export function isPreset(state: Exploration): boolean {
  const sizes = presetSizes(state.model);
  return letters.every((letter) => state[letter] === sizes[letter]);
}

export type Way = "absorbed" | "kept" | "unfolding";
export type Point = readonly [tokens: number, seconds: number];

/** What is predicted, of one layer's attention. */
export interface Found {
  readonly machine: Machine;
  readonly machineName: string;
  /** FLOP/s for each byte/s, and that from which on absorbed decodes faster (users.md's rule). */
  readonly balance: number;
  readonly threshold: number;
  /** Numbers that a token leaves. */
  readonly values: Readonly<Record<"absorbed" | "expanded", number>>;
  /** Seconds of a decoding step by tokens in all. */
  readonly decode: Readonly<Record<Way, readonly Point[]>>;
  /** Tokens from which on absorbed over latents beats expanded over keys and values; Infinity where it never does. */
  readonly decodeFrom: number;
  /** Seconds for each new token of a prefill step by new tokens, at `context` tokens in all. */
  readonly prefill: Readonly<Record<Exclude<Way, "kept">, readonly Point[]>>;
  /** New tokens up to which absorbed beats unfolding: on the machine, where arithmetic alone takes time, and over an endless prefix. */
  readonly chunk: number;
  readonly chunkOfArithmetic: number;
  readonly chunkOfEndless: number;
}

/** The library's predictions for what is asked; the equations beside them are only to be read. */
export function explore(state: Exploration): Found {
  const { h, n, r, v, c, step: t, batch, context } = state;
  const { d, q, o } = presetSizes(state.model);
  const sizes: Sizes = { d, h, g: 0, n, r, e: n + r, v, c, q, o };
  const { expanded, absorbed } = keptOf({ attention: { variant: mla, sizes } });
  const ways: Readonly<Record<Way, Contestant>> = {
    absorbed: { attention: absorbed!.attention, form: "absorbed" },
    kept: { attention: expanded!.attention, form: "expanded" },
    unfolding: { attention: absorbed!.attention, form: "expanded" },
  };
  const { machine, name, balance } = machineFor(state);
  const types = {
    cacheBytes: dtypes[state.cache],
    weightBytes: dtypes[state.weights],
    activationBytes: activationBytes(state.weights),
  };
  const seconds = (way: Way, step: StepSizes) =>
    predict(ways[way].attention, ways[way].form, { ...types, ...step }, machine).total;
  const far = Math.max(2 ** 20, context);
  const contexts = spaced(Math.max(64, t), far, 48);
  const chunks = spaced(1, Math.min(context, 16384), 48);
  const decode = (way: Way) => contexts.map((s): Point => [s, seconds(way, { t, s, batch })]);
  const prefill = (way: Way) => chunks.map((t): Point => [t, seconds(way, { t, s: context }) / t]);
  const over = [ways.unfolding, ways.absorbed] as const;
  const chunkOn = (machine: Machine) => Math.min(context, crossoverChunk(over, { ...types, s: context }, machine));
  const pays = 2 * c - n - v;
  return {
    machine,
    machineName: name,
    balance,
    threshold: (t * 2 * (2 * c + r)) / (dtypes[state.cache] * (n + r + v)),
    values: { absorbed: absorbed!.values, expanded: expanded!.values },
    decode: { absorbed: decode("absorbed"), kept: decode("kept"), unfolding: decode("unfolding") },
    decodeFrom: crossoverContext([ways.kept, ways.absorbed], { ...types, t, batch }, machine),
    prefill: { absorbed: prefill("absorbed"), unfolding: prefill("unfolding") },
    chunk: chunkOn(machine),
    chunkOfArithmetic: chunkOn(arithmetic),
    chunkOfEndless: pays > 0 ? (c * (n + v)) / pays : Number.POSITIVE_INFINITY,
  };
}

function machineFor({ machine, flops, bytes, weights }: Exploration) {
  const sheet = machineOf(machine);
  const rates = sheet ? hostOf(sheet).rates(weights) : roofline({ flops: flops * 1e12, bytes: bytes * 1e9 });
  const { few } = rates.attend;
  return { machine: rates, name: sheet?.name ?? "a machine of your own", balance: few.flops / few.bytes };
}

/** Whole numbers from low to high in about equal ratios. */
function spaced(low: number, high: number, count: number): number[] {
  const ratio = high / low;
  return [...new Set(Array.from({ length: count }, (_, i) => Math.round(low * ratio ** (i / (count - 1)))))];
}
