/**
 * An experiment as a file: all that determines a comparison, so that any machine can do any of its runs and any other can put the
 * results together. One schema gives the type, the check of a file read back, and the published JSON Schema.
 */
import { z } from "zod";
import type { Source } from "../data/source.ts";
import { writeAtomic } from "../file/atomic.ts";
import { readJson } from "../file/folder.ts";
import { type Matched, match } from "../lab/match.ts";
import { type CompareSettings, type Run, runsOf } from "../lab/schedule.ts";
import { modelSize } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { access, createHash, dirname, resolve } from "../tensor/node.ts";
import { dataSchema, openData } from "./data.ts";

const whole = z.int().positive();
const positive = z.number().positive();

/** A run's name is a folder's name everywhere, so it has letters, digits and few signs. */
const keySchema = z
  .string()
  .regex(/^[\w.-]{1,120}$/)
  .refine((key) => !/^[.\d]+$/.test(key), "no number, which would be a place in the list, and no dots alone");

const experiment = z.strictObject({
  format: z.literal("biform experiment 1"),
  versions: z.record(z.string(), z.string()).describe("Of what wrote the file; runs are done by the same biform"),
  command: z.string().optional(),
  date: z.string().optional(),
  device: z.enum(["wasm", "webgpu", "reference"]).describe("Results are equal bit for bit on the same device"),
  data: dataSchema,
  model: z.strictObject({
    width: whole,
    heads: whole,
    layers: whole,
    intermediate: whole.optional().describe("Width of the MLP before it is matched"),
    tied: z.boolean(),
    dims: z.enum(["scaled", "exact"]),
    base: positive.describe("Rotary base"),
  }),
  goal: z.strictObject({
    match: z.array(z.enum(["parameters", "flops", "time", "none"])),
    speeds: z
      .record(z.string(), positive)
      .optional()
      .describe("Steps a second of each variant, as measured: with time matched, steps follow from them"),
    maxCache: positive.optional().describe("Most cache numbers per token and layer"),
    length: whole.describe("Tokens per row"),
    batch: whole.describe("Rows per step"),
    budget: z.union([
      z.strictObject({ steps: whole.describe("Of the first variant") }),
      z.strictObject({ flops: positive.describe("Of every run") }),
    ]),
  }),
  optimiser: z.strictObject({
    kind: z.enum(["adamw", "muon"]),
    beta1: z.number(),
    beta2: z.number(),
    eps: positive,
    decay: z.number().nonnegative(),
    momentum: z.number(),
    clip: positive,
  }),
  rates: z.array(positive).min(1).describe("Peak learning rates; with several, each variant keeps its best"),
  warmup: z.int().nonnegative(),
  floor: z.number().nonnegative().describe("Last rate, of the peak"),
  seeds: whole.describe("Of each variant; with until, at the first look"),
  until: z
    .strictObject({
      most: whole.describe("Seeds of a variant at the most"),
      difference: positive.optional().describe("The smallest of interest, nats per token"),
    })
    .optional()
    .describe("Runs are added for variants that are not told from the first one, at looks planned beforehand"),
  evaluations: whole,
  heldOutBatches: whole,
  contexts: z.array(whole),
  variants: z
    .array(
      z.strictObject({
        spec: z.string().min(1),
        parameters: whole,
        steps: whole,
        intermediate: whole.optional(),
        scale: positive.optional().describe("Of the spec's dims, to keep the cache small"),
      }),
    )
    .min(1)
    .describe("With the sizes found for each; the first is the reference"),
  runs: z
    .array(
      z.strictObject({
        key: keySchema,
        variant: z.string(),
        seed: whole,
        rate: z
          .union([positive, z.literal("best")])
          .describe("best: of the variant's first seed, which has to be done first"),
      }),
    )
    .min(1)
    .max(1_000_000),
});

/** What a comparison is determined by. */
export type Experiment = z.infer<typeof experiment>;

/** One of its runs. */
export type RunEntry = Experiment["runs"][number];

/** An experiment that was read: what it says, its sizes rebuilt, and what tells it from any other. */
export interface Opened {
  readonly file: string;
  readonly experiment: Experiment;
  readonly settings: CompareSettings;
  readonly matched: ReadonlyMap<string, Matched>;
  /** What each training seed reads. */
  readonly source: (seed: number) => Source;
  /** A hash of all that determines results: records carry it, so that none is put beside those of another experiment. */
  readonly id: string;
}

/** The JSON Schema (draft 2020-12) of an experiment, as published with the package. */
export function experimentSchema(): Record<string, unknown> {
  return { title: "biform experiment", ...z.toJSONSchema(experiment, { io: "input" }) };
}

/** The experiment of a comparison's settings and data. Throws ShapeError for a spec that cannot be built. */
export function describeExperiment(
  settings: CompareSettings,
  vocabulary: number,
  about: Pick<Experiment, "versions" | "command" | "date" | "device" | "data">,
): Experiment {
  const { model, goal, optimiser, rates, warmup, floor, seeds, until, evaluations, heldOutBatches, contexts } =
    settings;
  const matched = match(settings.variants, { ...model, vocabulary }, goal);
  const { width, heads, layers, intermediate, tied = true, dims = "scaled", base = 10000 } = model;
  return {
    format: "biform experiment 1",
    ...about,
    model: { width, heads, layers, intermediate, tied, dims, base },
    goal: { ...goal, match: [...goal.match] },
    optimiser,
    rates: [...rates],
    warmup,
    floor,
    seeds,
    until: until && { ...until },
    evaluations,
    heldOutBatches,
    contexts: [...contexts],
    variants: matched.map((m) => ({
      spec: m.pattern,
      parameters: modelSize(m.model),
      steps: m.steps,
      intermediate: m.settings.intermediate,
      scale: m.settings.scale,
    })),
    runs: entriesOf(settings, runsOf(settings, matched)),
  };
}

/** The same experiment with the runs that bring these variants and the first one to so many seeds. */
export function extendExperiment(
  { experiment, settings, matched }: Opened,
  specs: readonly string[],
  seeds: number,
): Experiment {
  const { runs } = experiment;
  const more = [...matched.values()].filter((m, i) => i === 0 || specs.includes(m.pattern));
  const entries = entriesOf(settings, runsOf({ ...settings, seeds }, more, seedsOf(experiment) + 1));
  return { ...experiment, runs: [...runs, ...entries] };
}

/** Seeds that the experiment's runs go up to. */
export function seedsOf({ runs }: Experiment): number {
  return runs.reduce((most, { seed }) => Math.max(most, seed), 0);
}

function entriesOf({ rates, variants }: CompareSettings, runs: readonly Run[]): RunEntry[] {
  return runs.map(({ matched: m, seed, sweep }) => ({
    key: keyOf(variants.indexOf(m.pattern), m.pattern, seed, sweep),
    variant: m.pattern,
    seed,
    rate: sweep ?? (rates.length > 1 ? "best" : rates[0]!),
  }));
}

/** Writes an experiment, atomically; refuses to write over another one, whose runs would then belong to nothing. */
export async function writeExperiment(file: string, written: Experiment): Promise<void> {
  const there = await access(file).then(
    () => true,
    () => false,
  );
  const old = there ? await readJson(file, LIMIT, experiment) : undefined;
  if (old && idOf(old) !== idOf(written))
    throw new FormatError(`${file}: got another experiment, expected none or the same; name another file`);
  await writeAtomic(file, [`${JSON.stringify(written, null, 1)}\n`]);
}

/** Most bytes of a file: a million runs are some hundred megabytes. */
const LIMIT = 256_000_000;

/**
 * Reads an experiment, opens what it learns from and rebuilds its models' sizes.
 * Throws FormatError where the file is no experiment, its texts are others here, its runs or variants do not fit each other, or this
 * version sizes them otherwise.
 */
export async function openExperiment(file: string): Promise<Opened> {
  const read = await readJson(file, LIMIT, experiment);
  const settings = settingsOf(read);
  const source = await openData(read.data, read.goal.length, (path) => resolve(dirname(file), path));
  const { vocabulary } = source(1);
  const matched = new Map(
    match(settings.variants, { ...settings.model, vocabulary }, settings.goal).map((m) => [m.pattern, m]),
  );
  for (const { spec, parameters, steps } of read.variants) {
    const m = matched.get(spec)!;
    const [size, own] = [modelSize(m.model), m.steps];
    if (size !== parameters || own !== steps)
      throw new FormatError(
        `${file}: ${spec}: got ${parameters} parameters and ${steps} steps, expected the ${size} and ${own} that this version finds; ` +
          `do its runs with biform ${read.versions.biform ?? "of the version that wrote it"}`,
      );
  }
  const keys = new Set<string>();
  for (const { key, variant, rate } of read.runs) {
    if (keys.has(key)) throw new FormatError(`${file}: runs: got ${key} twice, expected each key once`);
    keys.add(key);
    if (!matched.has(variant))
      throw new FormatError(`${file}: ${key}: got the variant ${variant}, expected one of the listed ones`);
    if (rate === "best" && !read.runs.some((run) => run.variant === variant && run.rate !== "best"))
      throw new FormatError(`${file}: ${key}: got the best rate of ${variant}, expected runs that try rates`);
  }
  return { file, experiment: read, settings, matched, source, id: idOf(read) };
}

/** A run by its key or its place in the list (from 0). Throws FormatError where there is none. */
export function findRun({ file, experiment: { runs } }: Opened, key: string): RunEntry {
  const found = /^\d+$/.test(key) ? runs[Number(key)] : runs.find((run) => run.key === key);
  if (found) return found;
  const first = runs
    .slice(0, 3)
    .map((run) => run.key)
    .join(", ");
  throw new FormatError(`${file}: got run ${key}, expected 0 to ${runs.length - 1} or a key such as ${first}`);
}

function settingsOf(read: Experiment): CompareSettings {
  const { model, goal, optimiser, rates, warmup, floor, seeds, until, evaluations, heldOutBatches, contexts } = read;
  return {
    variants: read.variants.map(({ spec }) => spec),
    seeds,
    until,
    model,
    goal: { ...goal, match: new Set(goal.match) },
    optimiser,
    rates,
    warmup,
    floor,
    evaluations,
    heldOutBatches,
    contexts,
  };
}

/** What decides results, hashed: not when and by which words the file was written, nor how many seeds are asked for. */
function idOf({ command: _, date: __, runs: ___, seeds: ____, until: _____, ...deciding }: Experiment): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(deciding)))
    .digest("hex")
    .slice(0, 16);
}

/** The same value with its keys in order, so that equal experiments are equal texts. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}

/** A name that files and job arrays take: the variant's place, its spec as far as letters go, the seed, and the rate if it is tried. */
function keyOf(place: number, spec: string, seed: number, rate: number | undefined): string {
  const name = spec
    .replace(/[^A-Za-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 60);
  return `v${place}-${name}-s${seed}${rate === undefined ? "" : `-r${rate}`}`;
}
