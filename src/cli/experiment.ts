/** Experiments on the command line: written, done run by run or by an engine, and put together. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Collected, collect } from "../cluster/collect.ts";
import { type Data, describeFile } from "../cluster/data.ts";
import { drive, resolveKey, type Scene } from "../cluster/drive.ts";
import type { Held } from "../cluster/engine.ts";
import { openEngine } from "../cluster/engines.ts";
import {
  describeExperiment,
  extendExperiment,
  findRun,
  type Opened,
  openExperiment,
  type RunEntry,
  seedsOf,
  writeExperiment,
} from "../cluster/experiment.ts";
import { perform } from "../cluster/perform.ts";
import type { Store } from "../cluster/store.ts";
import { openStore } from "../cluster/stores.ts";
import { openDevice } from "../device/open.ts";
import { looksOf, undecidedNotes, unresolved } from "../lab/resolve.ts";
import type { Comparison } from "../lab/result.ts";
import { trainSettings } from "../lab/schedule.ts";
import { ShapeError } from "../tensor/error.ts";
import { trainWork } from "../train/train.ts";
import { type CompareOptions, describe, type Task } from "./comparison.ts";
import { commandText, machineFacts } from "./option.ts";
import { taskOf } from "./setting.ts";
import { versions } from "./version.ts";
import { underWatch } from "./watch.ts";

/** Options of a comparison that is a file. */
export interface ExperimentOptions {
  experiment?: string;
  run?: string;
  collect?: string;
  out?: string;
  on?: string;
  with: string[];
  cancel?: true;
}

type Options = CompareOptions & ExperimentOptions;

/** Writes the experiment that the options describe, and says what to do with it. */
export async function layOut(options: Options, task: Task): Promise<void> {
  const file = options.experiment!;
  if (task.seconds !== undefined)
    throw new ShapeError(
      "--experiment: got a budget in minutes or a demo, which depend on the machine, expected --steps, --tokens or --budget",
    );
  const written = describeExperiment(task.settings, task.model.vocabulary, {
    versions: { biform: versions().biform },
    command: commandText(),
    date: new Date().toISOString().slice(0, 10),
    device: options.device,
    data: await dataOf(options, dirname(resolve(file))),
  });
  await writeExperiment(file, written);
  process.stderr.write(
    `${file}: ${written.runs.length} runs, ${written.runs
      .slice(0, 3)
      .map(({ key }) => key)
      .join(", ")}${written.runs.length > 3 ? ", ..." : ""}\n`,
  );
}

async function dataOf(options: Options, folder: string): Promise<Data> {
  const { text, dataSeed: seed, tokenizer } = options;
  if (!text) return taskOf(options);
  const files = [];
  for (const path of text) files.push(await describeFile(path, folder));
  return { kind: "text", seed, files, tokenizer: tokenizer ? await describeFile(tokenizer, folder) : undefined };
}

/** Does the named runs here, one after the other. */
export async function doRuns(options: Options, keys: readonly string[]): Promise<void> {
  const opened = await openExperiment(options.run!);
  const store = await openStore(whereOf(options, opened.file));
  const runs: RunEntry[] = [];
  for (const key of keys) runs.push(findRun(opened, await resolveKey(store, key)));
  const device = await openDevice(opened.experiment.device, options.threads);
  try {
    await underWatch({ title: opened.file, total: runs.length }, async (display, signal) => {
      for (const [done, run] of runs.entries()) {
        const matched = opened.matched.get(run.variant)!;
        const work = trainSettings(opened.settings, matched, { seed: run.seed, rate: 0, source: "" });
        const { steps } = work;
        const outcome = await perform(opened, run, {
          store,
          device,
          versions: versions(),
          machine: machineFacts(device),
          signal,
          every: Math.max(1, Math.ceil(steps / 10)),
          tell: (note) => process.stderr.write(`${note}\n`),
          watch: ({ step }, loss) =>
            display.update({
              done: done + trainWork(work, step) / trainWork(work, steps),
              label: run.key,
              detail: `step ${step} of ${steps}`,
              loss,
            }),
        });
        if (outcome === "interrupted") {
          await display.finish(`interrupted; run the same command to go on with ${run.key}`);
          process.exitCode = 130;
          return;
        }
        if (outcome === "was done") process.stderr.write(`${run.key}: was done before, in ${store.where}\n`);
      }
      await display.finish();
    });
  } finally {
    device.close();
  }
}

/**
 * Has an engine do all runs of an experiment, and those that its first ones show to be needed, and gives what they found; undefined
 * where it was left before.
 */
export async function doAll(options: Options, file: string): Promise<Comparison | undefined> {
  for (;;) {
    const opened = await openExperiment(file);
    const found = await doListed(options, opened);
    const { settings, experiment } = opened;
    if (!found || !settings.until) return found;
    const undecided = unresolved(found.variants, settings.until);
    const next = looksOf(settings.seeds, settings.until).find((seeds) => seeds > seedsOf(experiment));
    if (undecided.length === 0 || next === undefined) {
      for (const note of undecidedNotes(found.variants, settings.seeds, settings.until))
        process.stderr.write(`${note}\n`);
      return found;
    }
    process.stderr.write(
      `${undecided.join(", ")}: not told from ${found.variants[0]!.spec} yet; up to ${next} seeds\n`,
    );
    await writeExperiment(file, extendExperiment(opened, undecided, next));
  }
}

/** Hands the runs that stand in an experiment to an engine and follows them; undefined where it was left before. */
async function doListed(options: Options, opened: Opened): Promise<Comparison | undefined> {
  const { file } = opened;
  const store = await openStore(whereOf(options, file));
  const engine = openEngine(options.on!, options.with, {
    biform: [process.execPath, fileURLToPath(new URL("../../bin/biform.js", import.meta.url))],
    file: resolve(file),
    where: store.where,
    words: options.threads === undefined ? [] : ["--threads", String(options.threads)],
  });
  const title = `${file} on ${engine.name}`;
  return underWatch({ title, total: opened.experiment.runs.length }, async (display, signal) => {
    const done = await drive(opened, store, engine, {
      signal,
      cancels: options.cancel === true,
      tell: (note) => process.stderr.write(`${note}\n`),
      watch: (scene) => display.update({ done: doneOf(scene), label: labelOf(scene), detail: detailOf(scene.held) }),
    });
    if (!done) {
      const left = engine.lasting && !options.cancel;
      await display.finish(
        left
          ? "left: the runs go on; the same command looks again, with --cancel and Ctrl-C it ends them"
          : "interrupted; the same command goes on",
      );
      process.exitCode = 130;
      return undefined;
    }
    await display.finish();
    return collectRuns(opened, store);
  });
}

/** Finished runs, and the parts of those at work. */
function doneOf({ done, beats }: Scene): number {
  let sum = done;
  for (const { step, steps } of beats.values()) sum += steps > 0 ? Math.min(1, step / steps) : 0;
  return sum;
}

function labelOf({ beats }: Scene): string {
  return [...beats]
    .slice(0, 2)
    .map(([key, { step, steps }]) => `${key} ${step}/${steps}`)
    .join(", ");
}

function detailOf({ running, waiting, failed }: Held): string {
  return `${running.size} at work, ${waiting.size} wait${failed.size > 0 ? `, ${failed.size} failed` : ""}`;
}

/** The comparison of what has finished, as far as it has. */
export async function collectAll(options: Options, file: string): Promise<Comparison> {
  return collectRuns(await openExperiment(file), await openStore(whereOf(options, file)));
}

async function collectRuns(opened: Opened, store: Store): Promise<Comparison> {
  const found = await collect(opened, store);
  for (const note of found.damaged) process.stderr.write(`${note}\n`);
  const { missing } = found;
  const all = opened.experiment.runs.length;
  if (missing.length > 0)
    process.stderr.write(
      `${all - missing.length} of ${all} runs have finished; ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", ..." : ""} have not\n`,
    );
  return comparisonOf(opened, found);
}

function comparisonOf({ experiment, settings, file, source }: Opened, found: Collected): Comparison {
  const { data, command } = experiment;
  const { places, variants, equal } = found;
  return {
    // One place is told as a comparison made here tells it; of several, each with its runs.
    machine:
      places.length === 1
        ? { ...places[0]!.machine, engine: places[0]!.engine }
        : { places: places.map((place) => ({ ...place })) },
    settings: {
      ...describe(settings, {
        data: source(1).name,
        data_seed: data.seed,
        steps: experiment.variants[0]!.steps,
      }),
      experiment: file,
    },
    versions: { ...found.versions },
    ...(command ? { command } : {}),
    date: new Date().toISOString().slice(0, 10),
    variants,
    equal,
  };
}

function whereOf({ out }: ExperimentOptions, file: string): string {
  return out ?? file.replace(/(\.json)?$/, ".runs");
}
