/** The report of an experiment from whatever has finished. */
import { atEqualFlops, atEqualTime, type Equal } from "../lab/equal.ts";
import type { Matched } from "../lab/match.ts";
import { looksOf } from "../lab/resolve.ts";
import type { VariantResult } from "../lab/result.ts";
import { median } from "../lab/statistics.ts";
import { bestRate, summarise } from "../lab/summary.ts";
import { FormatError } from "../tensor/error.ts";
import type { Curve } from "../train/train.ts";
import type { Opened } from "./experiment.ts";
import { type Finished, readRecord } from "./record.ts";
import type { Store } from "./store.ts";

/** What was found of an experiment. */
export interface Collected {
  /** Of the variants of which a run has finished. */
  readonly variants: VariantResult[];
  /** Their losses at equal FLOPs, and at equal time for each kind of machine and engine with runs of two variants. */
  readonly equal: Equal[];
  /** Where they were trained: each machine and engine once, with its number of runs. */
  readonly places: readonly Place[];
  readonly versions: Readonly<Record<string, string>>;
  /** Keys of runs without a result. */
  readonly missing: readonly string[];
  /** What could not be read, a sentence each. */
  readonly damaged: readonly string[];
}

/** A machine with an engine. */
export interface Place {
  readonly engine: string;
  readonly machine: Finished["machine"];
  runs: number;
}

/** Records that are read at a time: a shared folder answers slowly, and many at once. */
const AT_ONCE = 32;

/**
 * Puts the finished runs together. Reading changes nothing, so it can be done as often as one likes, while runs go on.
 * A run by another version of biform than the one that laid the experiment out is none of it. Throws FormatError where nothing has
 * finished.
 */
export async function collect(opened: Opened, store: Store): Promise<Collected> {
  const { experiment, settings, matched, file } = opened;
  const kept = new Map<Matched, Finished[]>([...matched.values()].map((m) => [m, []]));
  const places = new Map<string, Place>();
  const versions = new Map<string, string>();
  const [missing, damaged]: [string[], string[]] = [[], []];
  const { runs } = experiment;
  for (let from = 0; from < runs.length; from += AT_ONCE) {
    const some = runs.slice(from, from + AT_ONCE);
    const read = await Promise.all(some.map(({ key }) => readOwn(opened, store, key).catch(asDamaged)));
    for (const [i, { key, variant }] of some.entries()) {
      const found = read[i];
      if (typeof found === "string") damaged.push(found);
      if (!found || typeof found === "string") {
        missing.push(key);
        continue;
      }
      const own = kept.get(matched.get(variant)!)!;
      own.push(sharing(found, own[0]));
      count(places, found);
      for (const [name, version] of Object.entries(found.versions))
        if (!versions.has(name)) versions.set(name, version);
    }
  }
  for (const [m, own] of kept) if (own.length === 0) kept.delete(m);
  if (kept.size === 0)
    throw new FormatError(
      `${file}: got no finished run in ${store.where}, expected one at least; see \`biform compare --run\``,
    );
  const looks = looksOf(settings.seeds, settings.until).length;
  const records = new Map([...kept].map(([m, own]) => [m, own.map(({ record }) => record)]));
  const variants = summarise(records, settings, opened.source(1), looks);
  const equal = [atEqualFlops(variants, looks), ...equalTimes([...kept.values()], variants, settings.rates, looks)];
  return {
    variants,
    equal: equal.filter((one) => one !== undefined),
    places: [...places.values()],
    versions: Object.fromEntries(versions),
    missing,
    damaged,
  };
}

/** A run whose curves are at the same steps as another's, with that one's lists of them: of thousands they are half of what is held. */
function sharing(run: Finished, other: Finished | undefined): Finished {
  if (!other) return run;
  const { training, heldOut } = run.record;
  const share = (curve: Curve, like: Curve): Curve =>
    curve.steps.length === like.steps.length && curve.steps.every((step, i) => step === like.steps[i])
      ? { steps: like.steps, losses: curve.losses }
      : curve;
  const curves = {
    training: share(training, other.record.training),
    heldOut: share(heldOut, other.record.heldOut),
  };
  return { ...run, record: { ...run.record, ...curves } };
}

/** A finished run of this experiment. Throws FormatError for one by another version of biform. */
async function readOwn({ experiment, id }: Opened, store: Store, key: string): Promise<Finished | undefined> {
  const found = await readRecord(store, key, id);
  const [by, wanted] = [found?.versions.biform, experiment.versions.biform];
  if (by !== undefined && by !== wanted)
    throw new FormatError(
      `${store.where}: ${key}: got a run by biform ${by}, expected ${wanted}, which laid the experiment out; remove it and do it again with that version`,
    );
  return found;
}

/**
 * Losses at equal time, by machine and engine: each counts the runs that were trained there, and their speed there. Nodes that tell
 * the same of themselves but for their name and memory are one machine.
 */
function equalTimes(
  kept: readonly (readonly Finished[])[],
  variants: readonly VariantResult[],
  rates: readonly number[],
  looks: number,
): (Equal | undefined)[] {
  const best = kept.map((own) => {
    const records = own.map(({ record }) => record);
    const rate = bestRate(records, rates);
    return own
      .filter(({ record }) => record.rate === rate)
      .map((run) => ({ ...run, kind: JSON.stringify(kindOf(run)) }));
  });
  const kinds = Map.groupBy(best.flat(), ({ kind }) => kind);
  return [...kinds].map(([words, [first]]) => {
    const there = variants.flatMap((result, i) => {
      const runs = best[i]!.filter(({ kind }) => kind === words);
      const seeds = new Set(runs.map(({ record }) => record.seed));
      if (seeds.size === 0) return [];
      const tokensPerSecond = median(runs.map(({ record }) => record.tokensPerSecond));
      return [{ ...result, seeds: result.seeds.filter(({ seed }) => seeds.has(seed)), train: { tokensPerSecond } }];
    });
    return atEqualTime(there, looks, kindOf(first!));
  });
}

/** What a machine and an engine say of themselves, but for what differs between equal nodes. */
function kindOf({ engine, machine: { host: _, memoryBytes: __, ...machine } }: Finished): NonNullable<Equal["place"]> {
  return { engine, ...machine };
}

/** Counts a run where it was trained. */
function count(places: Map<string, Place>, { engine, machine }: Finished): void {
  const place = JSON.stringify([engine, machine]);
  if (!places.has(place)) places.set(place, { engine, machine, runs: 0 });
  places.get(place)!.runs++;
}

/** A record that is torn, of another experiment or of another version is told, and keeps no other from being counted. */
function asDamaged(error: unknown): string {
  if (error instanceof FormatError) return error.message;
  throw error;
}
