import type { Command } from "commander";
import { formNames } from "../attention/define.ts";
import { layerSpecs, parseSpec } from "../attention/spec.ts";
import { openDevice } from "../device/open.ts";
import { writeAtomic } from "../file/atomic.ts";
import { jsonPieces } from "../file/pieces.ts";
import { compare } from "../lab/compare.ts";
import { atEqualFlops, atEqualTime } from "../lab/equal.ts";
import { equalLines } from "../lab/equality.ts";
import { match } from "../lab/match.ts";
import { looksOf, undecidedNotes } from "../lab/resolve.ts";
import { type Comparison, comparisonSchema } from "../lab/result.ts";
import type { RunRecord } from "../lab/run.ts";
import { Shelf } from "../lab/shelf.ts";
import { table } from "../lab/table.ts";
import { wall } from "../measure/clock.ts";
import type { Device } from "../tensor/device.ts";
import { ShapeError } from "../tensor/error.ts";
import { agree } from "../verify/agree.ts";
import { fitTask } from "./budget.ts";
import { compareCheckpoints } from "./checkpoints.ts";
import { type CompareOptions, demo, describe, readTask } from "./comparison.ts";
import { collectAll, doAll, doRuns, type ExperimentOptions, layOut } from "./experiment.ts";
import { commandText, listOption, machineFacts, positiveOption, wholeOption } from "./option.ts";
import type { Progress, Standing } from "./progress.ts";
import { sharedOptions } from "./setting.ts";
import { versions } from "./version.ts";
import { underWatch } from "./watch.ts";

/** `biform compare`: several variants, one budget, several seeds; a table, and a report. */
export function compareCommand(command: Command): void {
  sharedOptions(
    command
      .argument(
        "[names...]",
        "checkpoints (folders or GGUF files): nothing is trained, and --text is read by all; with --run its runs, by key or by place from 0",
      )
      .option(
        "--variants <specs>",
        "comma-separated; the first is the reference",
        "MHA,GQA2-128,GQA1-256-PR,MLA,GQA2-(192+64)-S2",
      )
      .option("--seeds <n>", "training seeds per variant, on paired batches", wholeOption("--seeds"), 3),
  )
    .option("--until <when>", "resolved: add seeds for variants that are not told from the first one")
    .option(
      "--most-seeds <n>",
      "with --until: seeds of a variant at the most (default 16)",
      wholeOption("--most-seeds"),
    )
    .option(
      "--difference <x>",
      "with --until: the smallest difference of interest, nats per token; smaller ones need no seeds",
      positiveOption("--difference"),
    )
    .option("--match <what>", "parameters, and flops or time, or none: what to make equal", "parameters,flops")
    .option("--times <file>", "with --match time: a result of these variants, whose measured times it takes")
    .option(
      "--max-cache <n>",
      "shrink variants above this many cache numbers per token and layer",
      positiveOption("--max-cache"),
    )
    .option("--contexts <n,...>", "context lengths to time", listOption(wholeOption("--contexts")), [128, 1024])
    .option(
      "--needles <n,...>",
      "of checkpoints: tokens of prompts in which a number is hidden and asked for",
      listOption(wholeOption("--needles")),
    )
    .option("--evaluations <n>", "held-out evaluations per run", wholeOption("--evaluations"), 20)
    .option("--held-out <n>", "batches per held-out evaluation", wholeOption("--held-out"), 8)
    .option("--json <file>", "write the result as JSON")
    .option("--html <file>", "write a self-contained report")
    .option("--picture <file>", "draw right answers, or loss where data are text, against cache, as SVG")
    .option("--state <dir>", "where an interrupted comparison is kept", "runs")
    .option("--schema", "print the JSON Schema of the result and stop")
    .option(
      "--experiment <file>",
      "write all that determines the comparison, its runs one by one, and stop unless --on",
    )
    .option("--run <file>", "do the named runs of an experiment here, or all with --on")
    .option("--collect <file>", "make the result of an experiment from whatever has finished")
    .option(
      "--out <where>",
      "where runs leave what they find: a folder all machines see, or s3://BUCKET/PREFIX (default: beside the experiment)",
    )
    .option("--on <engine>", "do all runs on processes:N of this machine, slurm, ray or kubernetes")
    .option(
      "--with <name=value...>",
      "options for the engine, such as partition=gpu; biform=WORDS is how it calls Biform",
      [],
    )
    .option("--cancel", "with --on: Ctrl-C also ends the runs that an engine has")
    .option("--demo", "five variants, two seeds, embedded data, a report: about a minute")
    .addHelpText(
      "after",
      `
Examples:
  biform compare --demo
  biform compare --variants "MHA,GQA2-128,MLA" --data recall --pairs 16 --steps 500 --html recall.html
  biform compare --text shakespeare.txt --variants "MLA,GQA2-128,GQA1-256-PR" --minutes 60 --json result.json
  biform compare --variants "[GQA2-128*3,MLA],MLA" --rate 0.001,0.003,0.01
  biform compare llama/ llama-mla/ llama-small/ --text test.txt --needles 512,2048 --contexts 1024 --json c.json
  biform compare --variants MHA,MLA --seeds 4 --until resolved --most-seeds 20 --difference 0.01 --steps 2000
  biform compare --variants MHA,MLA --seeds 8 --steps 2000 --experiment study.json
  biform compare --run study.json v1-MLA-s3
  biform compare --run study.json --on slurm --with partition=cpu cpus-per-task=4 --html study.html
  biform compare --collect study.json --json study-result.json

Ctrl-C stops after the step at work; the same command goes on where it stopped.`,
    )
    .action(async (names: readonly string[], options: CompareOptions & ExperimentOptions, command: Command) => {
      if (options.schema) {
        console.log(JSON.stringify(comparisonSchema(), null, 2));
        return;
      }
      check(names, options);
      const { run: file, collect } = options;
      if (names.length && file === undefined) return compareCheckpoints(names, options, command);
      if (options.needles) throw new ShapeError("--needles: got it without checkpoints, expected some; name folders");
      if (collect !== undefined) return write(options, await collectAll(options, collect));
      if (file !== undefined && options.on === undefined) return doRuns(options, names);
      if (file !== undefined) return follow(options, file);
      const chosen = options.demo
        ? Object.fromEntries(Object.entries(demo).filter(([name]) => command.getOptionValueSource(name) !== "cli"))
        : {};
      const all = { ...options, ...chosen } as CompareOptions & ExperimentOptions;
      if (options.experiment === undefined) return run(all);
      await layOut(all, await readTask(all));
      if (options.on !== undefined) await follow(options, options.experiment);
    });
}

/** Refuses words that mean nothing together. */
function check(names: readonly string[], { experiment, run, collect, on }: ExperimentOptions): void {
  const given = Object.entries({ experiment, run, collect }).filter(([, file]) => file !== undefined);
  const some = [
    ...given.map(([name]) => `--${name}`),
    ...(names.length > 0 && run === undefined ? ["checkpoints"] : []),
  ];
  if (some.length > 1) throw new ShapeError(`compare: got ${some.join(" and ")}, expected one of them`);
  if (on !== undefined && experiment === undefined && run === undefined)
    throw new ShapeError(`--on: got ${on} without --experiment FILE or --run FILE, expected one of them`);
  if (run !== undefined && names.length === 0 && on === undefined)
    throw new ShapeError("--run: got no keys, expected those of the runs to do here, or --on to do all");
  if (run !== undefined && names.length > 0 && on !== undefined)
    throw new ShapeError(`--run: got ${names[0]} and --on, expected keys to do here, or --on to do all`);
}

/** Has an engine do an experiment, and writes the result once all is done. */
async function follow(options: CompareOptions & ExperimentOptions, file: string): Promise<void> {
  const result = await doAll(options, file);
  if (result) await write(options, result);
}

async function run(options: CompareOptions): Promise<void> {
  const started = new Date().toISOString();
  const task = await readTask(options);
  for (const note of task.notes) process.stderr.write(`${note}\n`);
  const { variants: wanted, seeds } = task.settings;
  const device = await openDevice(options.device, options.threads);
  const title = `${wanted.length} variants, ${seeds} seeds, ${task.source(1).name}`;
  try {
    await underWatch({ title, total: 1 }, async (display, signal) => {
      // Both before steps are chosen, so that a demo knows what is left of its time.
      const agreement = await agreements(wanted, options, device, display);
      const later = options.html === undefined ? 0 : await loadReport();
      display.update({ done: 0, label: "a few steps of each variant, for the time that they take" });
      const { settings, paces } = await fitTask(task, device, { state: options.state, later, signal });
      const matched = match(wanted, task.model, settings.goal);
      const steps = new Map(matched.map((m) => [m.pattern, m.steps]));
      const shelf = new Shelf<RunRecord>(options.state, task.key);
      let standing: Standing = { done: 0, label: "" };
      const variants = await compare(settings, task.source, device, {
        signal,
        shelf,
        paces,
        watch({ spec, seed, done, progress: { step }, loss }) {
          const detail = `step ${step} of ${steps.get(spec)}`;
          standing = { done, label: `${spec}, seed ${seed}`, loss, detail };
          display.update(standing);
        },
      });
      if (!variants) {
        await display.finish("interrupted; run the same command to go on from here");
        process.exitCode = 130;
        return;
      }
      // What follows the last step belongs to no step, and a run that diverged has fewer.
      display.update({ ...standing, done: 1, loss: undefined });
      await display.finish();
      for (const note of settings.until ? undecidedNotes(variants, settings.seeds, settings.until) : [])
        process.stderr.write(`${note}\n`);
      const machine = machineFacts(device);
      const looks = looksOf(settings.seeds, settings.until).length;
      const equal = [
        atEqualFlops(variants, looks),
        atEqualTime(variants, looks, { engine: "biform", ...machine }),
      ].filter((one) => one !== undefined);
      await write(options, {
        machine,
        settings: {
          ...describe(settings, {
            data: task.source(1).name,
            data_seed: options.dataSeed,
            steps: matched[0]!.steps,
          }),
          ...(task.seconds !== undefined ? { fitted_to_seconds: task.seconds } : {}),
        },
        versions: versions(),
        command: commandText(),
        date: started.slice(0, 10),
        started,
        finished: new Date().toISOString(),
        variants,
        equal,
        agreement,
      });
      await shelf.clear();
    });
  } finally {
    device.close();
  }
}

/** Loads what draws reports, a document and a plotting library, and gives the seconds that drawing will take: about as many. */
async function loadReport(): Promise<number> {
  const start = wall();
  await import("../lab/report.ts");
  return wall() - start;
}

/** Writes the files that are asked for, and the table. */
async function write({ json, html, picture }: CompareOptions, result: Comparison): Promise<void> {
  // Variants, and seeds in them: curves of thousands of runs are more text than memory shall hold at a time.
  if (json) await writeAtomic(json, textOf(result));
  if (html) {
    const { report } = await import("../lab/report.ts");
    await writeAtomic(html, [report(result)]);
  }
  if (picture) await draw(picture, result);
  console.log(table(result));
  for (const equal of result.equal ?? []) console.log(`${equalLines(equal).join("\n")}\n`);
  for (const { spec, forms = [], float64, float32 } of result.agreement ?? [])
    console.log(
      `${spec}: ${forms.join(" and ")} differ by at most ${float64.toExponential(1)} (float64), ${float32.toExponential(1)} (float32)`,
    );
  if (json) console.log(`result: ${json}`);
  if (html) console.log(`report: ${html}`);
  if (picture) console.log(`picture: ${picture}`);
}

function* textOf(result: Comparison): Generator<string> {
  yield* jsonPieces(result, 4);
  yield "\n";
}

/** Draws what the variants are worth against their cache. */
async function draw(file: string, result: Comparison): Promise<void> {
  const [{ svgText }, { accuracyAgainstCache, lossAgainstCache }] = [
    await import("../draw/file.ts"),
    await import("../lab/scatter.ts"),
  ];
  const task = result.variants.some(({ accuracy }) => accuracy);
  const text = svgText(760, (canvas) => {
    const svg = (task ? accuracyAgainstCache : lossAgainstCache)(result, canvas);
    if (!svg) throw new ShapeError("--picture: got runs that all diverged, expected one that did not");
    return svg;
  });
  await writeAtomic(file, [text]);
}

async function agreements(wanted: readonly string[], options: CompareOptions, device: Device, display: Progress) {
  const found = [];
  for (const attention of findSwitching(wanted, options)) {
    display.update({ done: 0, label: `the forms of ${attention.spec}` });
    found.push(await agreementOf(attention, device));
  }
  return found;
}

/** The variants in all layers of what is compared, each once, that have more than one form by their definition. */
function findSwitching(wanted: readonly string[], { layers, width, heads, dims, ropeBase }: CompareOptions) {
  const specs = new Set(wanted.flatMap((pattern) => layerSpecs(pattern, layers)));
  return [...specs]
    .map((spec) => parseSpec(spec, { width, heads, dims, base: ropeBase }))
    .filter(({ variant, sizes }) => formNames(variant, sizes).length > 1);
}

async function agreementOf(attention: ReturnType<typeof parseSpec>, device: Device) {
  const found = await agree(attention, { tokens: 48, seed: 1, device });
  return {
    spec: attention.spec,
    forms: found.forms.map(({ form }) => form),
    float64: found.float64.absolute,
    float32: found.float32!.absolute,
  };
}
