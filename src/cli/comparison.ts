/** A comparison as the command line describes it. */
import { z } from "zod";
import { splitSpecs } from "../attention/spec.ts";
import type { Source } from "../data/source.ts";
import { readJson } from "../file/folder.ts";
import type { Equal } from "../lab/equal.ts";
import type { Effort } from "../lab/fit.ts";
import type { Goal, Matching } from "../lab/match.ts";
import { looksOf, type Until } from "../lab/resolve.ts";
import { type Comparison, parseComparison } from "../lab/result.ts";
import type { CompareSettings } from "../lab/schedule.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { baseNotes, modelOf, type Options, optimiserOf, sourceOf, stepsOf } from "./setting.ts";
import { versions } from "./version.ts";

export interface CompareOptions extends Options {
  variants: string;
  seeds: number;
  match: string;
  times?: string;
  maxCache?: number;
  contexts: number[];
  until?: string;
  mostSeeds?: number;
  difference?: number;
  needles?: number[];
  evaluations: number;
  heldOut: number;
  json?: string;
  html?: string;
  picture?: string;
  state: string;
  demo?: true;
  schema?: true;
}

/** What `--demo` sets where the command line does not; how many steps it takes depends on the machine. */
export const demo = {
  variants: "MHA,GQA2-128,GQA1-256-PR,MLA,GQA2-(192+64)-S2",
  seeds: 2,
  width: 64,
  heads: 8,
  layers: 2,
  length: 128,
  batch: 8,
  contexts: [128, 512],
  evaluations: 10,
  html: "biform-report.html",
} as const;

/** Seconds from the start of the program to its end, within which a demo fits its steps. */
const DEMO_SECONDS = 75;

/** What is to be compared. */
export interface Task {
  readonly source: (seed: number) => Source;
  readonly model: ModelSettings;
  /** Where `seconds` is given, steps are still to be chosen. */
  readonly settings: CompareSettings;
  /** Seconds that all shall take from the start of the program on. */
  readonly seconds: number | undefined;
  /** Whether these are filled with so many steps of the first variant, or so many FLOPs of each. */
  readonly fill: "steps" | "flops";
  readonly efforts: readonly Effort[];
  /** What tells this comparison from others, of what is kept of it. */
  readonly key: unknown;
  readonly notes: readonly string[];
}

/** Reads every spec, so that a typing error costs nothing. Throws ShapeError, and FormatError for files of text. */
export async function readTask(options: CompareOptions): Promise<Task> {
  const source = await sourceOf(options);
  const variants = splitSpecs(options.variants);
  if (new Set(variants).size !== variants.length)
    throw new ShapeError(`--variants: got "${options.variants}", expected each once`);
  const { name, vocabulary, heldOut } = source(1);
  // Rows that the data cannot fill are refused before anything is measured.
  heldOut(1, 1, options.length);
  const model = { ...modelOf(options), vocabulary };
  const notes = baseNotes(
    variants.map((pattern) => buildModel(pattern, model)),
    options,
  );
  const seconds = secondsOf(options);
  const speeds = options.times === undefined ? undefined : await speedsOf(options.times, variants);
  const settings = settingsOf(options, variants, speeds);
  const { goal } = settings;
  const budget = seconds === undefined ? goal.budget : { seconds };
  const key = {
    ...settings,
    goal: { ...goal, match: [...goal.match], budget },
    data: [name, options.dataSeed, options.tokenizer],
    version: versions().biform,
    // Another device rounds otherwise.
    ...(options.device === "wasm" ? {} : { device: options.device }),
  };
  const fill = options.minutes === undefined ? "steps" : "flops";
  return { source, model, settings, seconds, fill, efforts: effortsOf(options), key, notes };
}

function secondsOf({ minutes, demo, steps, tokens, budget }: CompareOptions): number | undefined {
  if (minutes !== undefined) return 60 * minutes;
  return demo && steps === undefined && tokens === undefined && budget === undefined ? DEMO_SECONDS : undefined;
}

/** What is done beside steps, from the most to the least: a demo does less of it on a slow machine. */
function effortsOf({ evaluations, heldOut: heldOutBatches, contexts, demo }: CompareOptions): Effort[] {
  const all = { evaluations, heldOutBatches, contexts, rounds: 7 };
  if (!demo) return [all];
  const atMost = (evaluations: number, batches: number) => ({
    evaluations: Math.min(evaluations, all.evaluations),
    heldOutBatches: Math.min(batches, heldOutBatches),
  });
  return [
    all,
    { ...atMost(5, 4), contexts, rounds: 2 },
    { ...atMost(1, 2), contexts: contexts.slice(0, 1), rounds: 1 },
  ];
}

/**
 * Steps a second of each variant by a result whose runs were measured on one machine by one engine. Throws FormatError where it has
 * none, or times of several.
 */
async function speedsOf(file: string, variants: readonly string[]): Promise<Record<string, number>> {
  const result = parseComparison(await readJson(file, 256_000_000, z.unknown()), file);
  const times = (result.equal ?? []).filter(({ unit }) => unit === "seconds");
  if (times.length !== 1)
    throw new FormatError(
      `${file}: got times of ${times.length} machines and engines, expected of one; collect runs of one alone`,
    );
  const [{ amount, variants: measured }] = times as [Equal];
  const speeds = new Map(measured.map(({ spec, steps }) => [spec, steps / amount]));
  for (const spec of variants)
    if (!speeds.has(spec))
      throw new FormatError(`${file}: got no time of ${spec}, expected one of each variant; measure it there too`);
  return Object.fromEntries(variants.map((spec) => [spec, speeds.get(spec)!]));
}

function settingsOf(
  options: CompareOptions,
  variants: readonly string[],
  speeds: Record<string, number> | undefined,
): CompareSettings {
  const matching = new Set(options.match.split(",").map((m) => m.trim()));
  for (const m of matching)
    if (!["parameters", "flops", "time", "none"].includes(m))
      throw new ShapeError(
        `--match: got "${m}", expected parameters, flops or time, with a comma between two, or none`,
      );
  if (matching.has("time") && matching.has("flops"))
    throw new ShapeError("--match: got flops and time, expected one of them: both decide how many steps a variant has");
  if (matching.has("time") !== (speeds !== undefined))
    throw new ShapeError(
      speeds
        ? "--times: got it without --match time, expected both"
        : "--match: got time without --times, expected both",
    );
  const steps = stepsOf(options);
  const budget: Goal["budget"] = steps === undefined ? { flops: options.budget ?? 1 } : { steps };
  return {
    variants,
    seeds: options.seeds,
    until: untilOf(options),
    model: modelOf(options),
    goal: {
      match: matching as Set<Matching>,
      length: options.length,
      batch: options.batch,
      budget,
      speeds,
      maxCache: options.maxCache,
    },
    optimiser: optimiserOf(options),
    rates: options.rate,
    warmup: options.warmup,
    floor: 0.1,
    ...effortsOf(options)[0]!,
  };
}

/** When seeds are enough, where that is decided by what they say. Throws ShapeError. */
function untilOf({ until, mostSeeds: most = 16, difference, seeds, minutes, demo }: CompareOptions): Until | undefined {
  if (until === undefined) {
    if (difference !== undefined)
      throw new ShapeError("--difference: got it without --until, expected --until resolved");
    return undefined;
  }
  if (until !== "resolved") throw new ShapeError(`--until: got "${until}", expected resolved`);
  if (minutes !== undefined || demo)
    throw new ShapeError(
      "--until: got a budget in time too, expected --steps, --tokens or --budget: seeds follow from what they say",
    );
  if (seeds < 2 || most < seeds)
    throw new ShapeError(
      `--seeds: got ${seeds} with --most-seeds ${most}, expected 2 or more, which say how much seeds differ, and no more than the most`,
    );
  return { most, difference };
}

/** The settings as a result has them; `about` is what does not stand in them. */
export function describe(
  { model, goal, ...settings }: CompareSettings,
  about: { readonly data: string; readonly data_seed: number; readonly steps: number },
) {
  return {
    ...about,
    layers: model.layers,
    width: model.width,
    match: [...goal.match].join(","),
    heads: model.heads,
    dims: model.dims ?? "scaled",
    tied: model.tied ?? true,
    rope_base: model.base ?? 10000,
    length: goal.length,
    batch: goal.batch,
    seeds: settings.seeds,
    ...(settings.until
      ? { looks: looksOf(settings.seeds, settings.until).length, most_seeds: settings.until.most }
      : {}),
    optimiser: settings.optimiser.kind,
    rates: [...settings.rates],
    warmup: settings.warmup,
    final_rate: settings.floor,
    decay: settings.optimiser.decay,
    clip: settings.optimiser.clip,
    held_out_batches: settings.heldOutBatches,
    contexts: [...settings.contexts],
    ...(goal.maxCache ? { max_cache: goal.maxCache } : {}),
  } satisfies Comparison["settings"];
}
