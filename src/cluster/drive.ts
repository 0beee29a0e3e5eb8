/** Hands an experiment's runs to an engine and follows them to their end. */
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { type Beat, readBeat } from "./claim.ts";
import type { Engine, Held, Job } from "./engine.ts";
import type { Opened, RunEntry } from "./experiment.ts";
import { parseStored, type Store } from "./store.ts";

const jobsSchema = z.object({
  engine: z.string(),
  jobs: z.array(z.object({ id: z.string(), list: z.int(), keys: z.array(z.string()) })),
});

/** How all runs stand. */
export interface Scene {
  readonly done: number;
  readonly all: number;
  readonly held: Held;
  /** Of the runs at work, some of them where there are many. */
  readonly beats: ReadonlyMap<string, Beat>;
}

/** What stands about: who looks on, when to stop looking, how often to look. */
export interface Onlooker {
  readonly signal: AbortSignal;
  readonly watch: (scene: Scene) => void;
  readonly tell: (note: string) => void;
  /** Whether jobs are cancelled when the signal comes; else they go on where the engine outlasts this process. */
  readonly cancels: boolean;
  readonly seconds?: number | undefined;
  /** Seconds that a result may take to be seen here after its run ended: folders over networks show new files late. */
  readonly patience?: number | undefined;
}

/** Times that a run is handed over anew after the engine gave it up for a reason that is not the run's. */
const TRIES = 3;
/** Seconds after which Linux asks an NFS server anew what a folder holds (nfs(5), acdirmax). */
const PATIENCE = 60;
/** Runs at work whose beats are read at each look. */
const SHOWN = 8;
/** Questions to a store at a time: a shared folder answers slowly, and many at once. */
const AT_ONCE = 32;

/**
 * Submits what is neither finished nor with the engine already, and looks until everything has finished: the same call again goes on
 * where an earlier one was left. True where all runs are done; false where the signal came first.
 * Throws FormatError where runs failed, naming them, DeviceError where the engine refuses.
 */
export async function drive(opened: Opened, store: Store, engine: Engine, onlooker: Onlooker): Promise<boolean> {
  const { runs } = opened.experiment;
  const { signal, watch, tell, cancels, seconds = 2, patience = PATIENCE } = onlooker;
  const jobs = await readJobs(store, engine);
  const finished = new Set<string>();
  const tries = new Map<string, number>();
  /** When runs that were handed over here were first said to have ended, whose results are not to be seen. */
  const missed = new Map<string, number>();
  const failed = new Map<string, string>();
  await findFinished(store, runs, finished);
  for (;;) {
    const open = jobs.filter(({ keys }) => keys.some((key) => !finished.has(key)));
    const held = await engine.look(open);
    const owned = new Set([...held.waiting, ...held.running]);
    await findFinished(store, runs, finished);
    const now = performance.now();
    for (const key of held.ended) {
      if (finished.has(key) || owned.has(key) || !tries.has(key)) continue;
      if (!missed.has(key)) missed.set(key, now);
      if (now - missed.get(key)! < 1000 * patience) owned.add(key);
      else
        failed.set(
          key,
          `${engine.name} says that it ended well, but its result is not in ${store.where}: is that shared with the machine that did it?`,
        );
    }
    for (const [key, reason] of held.failed) if (!finished.has(key) && !owned.has(key)) failed.set(key, reason);
    const untried = untriedOf(runs, finished);
    const ready = runs.filter(
      ({ key, rate, variant }) => !finished.has(key) && !owned.has(key) && !(rate === "best" && untried.has(variant)),
    );
    const next = ready.filter(({ key }) => !failed.has(key) && (tries.get(key) ?? 0) < TRIES);
    for (const { key } of ready)
      if ((tries.get(key) ?? 0) >= TRIES && !failed.has(key)) failed.set(key, `the engine gave it up ${TRIES} times`);
    const gone = signal.aborted;
    if (!gone && next.length > 0) {
      const keys = next.map(({ key }) => key);
      jobs.push(...(await submit(store, engine, keys)));
      for (const { key } of next) tries.set(key, (tries.get(key) ?? 0) + 1);
      tell(`${next.length} of ${runs.length} runs handed to ${engine.name}`);
    }
    watch({
      done: finished.size,
      all: runs.length,
      held,
      beats: await beatsOf(
        store,
        [...held.running].filter((key) => !finished.has(key)),
      ),
    });
    if (finished.size === runs.length) return true;
    if (gone) {
      if (cancels || !engine.lasting) await engine.cancel(open);
      return false;
    }
    if (next.length === 0 && owned.size === 0) throw failure(opened, failed, store);
    await wait(1000 * Math.max(seconds, runs.length / 500), undefined, { signal }).catch(() => {});
  }
}

/** Writes the lists of keys first: a task that starts at once finds its own. */
async function submit(store: Store, engine: Engine, keys: readonly string[]): Promise<Job[]> {
  const made: Job[] = [];
  for (let from = 0; from < keys.length; from += engine.most) {
    const some = keys.slice(from, from + engine.most);
    const list = await keepList(store, some);
    made.push({ id: await engine.submit(list, some), list, keys: some });
    // After each: what was handed over is not handed over again, whatever happens next.
    await keepJobs(store, engine, made.slice(-1));
  }
  return made;
}

/** Keeps a list under the next free number and gives that. */
async function keepList(store: Store, keys: readonly string[]): Promise<number> {
  let list = (await store.list("lists/")).length;
  while (!(await store.create(listName(list), JSON.stringify(keys)))) list++;
  return list;
}

const listName = (list: number) => `lists/${list}.json`;

/** The key that a task's word `list-3.17` means; the word itself where it is none. Throws FormatError where the list lacks it. */
export async function resolveKey(store: Store, word: string): Promise<string> {
  const [, list, place] = /^list-(\d{1,9})\.(\d{1,9})$/.exec(word) ?? [];
  if (list === undefined) return word;
  const keys = parseStored(z.array(z.string()), await store.read(listName(Number(list))));
  const key = keys?.[Number(place)];
  if (key === undefined)
    throw new FormatError(
      `${store.where}: got no ${listName(Number(list))} with place ${place}, expected the list that the runs were handed over with; is the folder shared with this machine?`,
    );
  return key;
}

/** Variants of which a rate is still to be tried: the runs that take their best one wait. */
function untriedOf(runs: readonly RunEntry[], finished: ReadonlySet<string>): Set<string> {
  return new Set(runs.filter(({ key, rate }) => rate !== "best" && !finished.has(key)).map(({ variant }) => variant));
}

async function findFinished(store: Store, runs: readonly RunEntry[], finished: Set<string>): Promise<void> {
  const open = runs.filter(({ key }) => !finished.has(key));
  for (let from = 0; from < open.length; from += AT_ONCE)
    await Promise.all(
      open.slice(from, from + AT_ONCE).map(async ({ key }) => {
        if ((await store.list(`${key}/record.json`)).length > 0) finished.add(key);
      }),
    );
}

async function beatsOf(store: Store, running: readonly string[]): Promise<Map<string, Beat>> {
  const beats = new Map<string, Beat>();
  for (const key of running.slice(0, SHOWN)) {
    const beat = await readBeat(store, key);
    if (beat) beats.set(key, beat);
  }
  return beats;
}

const jobsName = "jobs.json";

async function readJobs(store: Store, engine: Engine): Promise<Job[]> {
  const bytes = engine.lasting ? await store.read(jobsName) : undefined;
  if (!bytes) return [];
  const data = parseStored(jobsSchema, bytes);
  if (!data)
    throw new FormatError(
      `${store.where}/${jobsName}: got a damaged file, expected the jobs handed over; remove it once none of them runs`,
    );
  if (data.engine !== engine.name)
    throw new FormatError(
      `${store.where}: got runs that were handed to ${data.engine}, expected ${engine.name}; go on there, or cancel them and remove ${jobsName}`,
    );
  return data.jobs;
}

async function keepJobs(store: Store, engine: Engine, more: readonly Job[]): Promise<void> {
  if (!engine.lasting) return;
  const jobs = [...(await readJobs(store, engine)), ...more];
  await store.write(jobsName, JSON.stringify({ engine: engine.name, jobs }));
}

/** In the order of the experiment, whichever failed first. */
function failure({ experiment }: Opened, failed: ReadonlyMap<string, string>, { where }: Store): FormatError {
  const keys = experiment.runs.map(({ key }) => key).filter((key) => failed.has(key));
  const some = keys.slice(0, 3).map((key) => `${key}: ${failed.get(key)}`);
  const more = failed.size > 3 ? `; and ${failed.size - 3} more` : "";
  return new FormatError(
    `${where}: got ${failed.size} runs that failed (${some.join("; ")}${more}), expected all to finish; mend the cause and run the same command again`,
  );
}
