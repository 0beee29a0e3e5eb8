import type { Command } from "commander";
import { splitSpecs } from "../attention/spec.ts";
import type { Source } from "../data/source.ts";
import { WasmDevice } from "../device/wasm.ts";
import { writeAtomic } from "../file/atomic.ts";
import { flopsForMinutes } from "../lab/budget.ts";
import { type CompareSettings, compare, type RunRecord } from "../lab/compare.ts";
import { type Matching, match } from "../lab/match.ts";
import { type Comparison, comparisonSchema } from "../lab/result.ts";
import { Shelf } from "../lab/shelf.ts";
import { table } from "../lab/table.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { ShapeError } from "../tensor/error.ts";
import { agree } from "../verify/agree.ts";
import { interruptible } from "./interrupt.ts";
import { commandText, listOption, machineFacts, positiveOption, wholeOption } from "./option.ts";
import { progress } from "./progress.ts";
import { baseNotes, modelOf, type Options, optimiserOf, sharedOptions, sourceOf, stepsOf } from "./setting.ts";
import { versions } from "./version.ts";

interface CompareOptions extends Options {
  variants: string;
  seeds: number;
  match: string;
  maxCache?: number;
  contexts: number[];
  evaluations: number;
  heldOut: number;
  json?: string;
  html?: string;
  state: string;
  demo?: true;
  schema?: true;
}

/** What `--demo` sets where the command line does not: small enough for a minute and a half on two cores. */
const demo = {
  variants: "MHA,GQA2-128,GQA1-256-PR,MLA,GQA2-(192+64)-S2",
  seeds: 2,
  width: 64,
  heads: 8,
  layers: 2,
  length: 128,
  batch: 8,
  steps: 250,
  contexts: [128, 512],
  html: "biform-report.html",
} as const;

/** `biform compare`: several variants, one budget, several seeds; a table, and a report. */
export function compareCommand(program: Command): void {
  sharedOptions(
    program
      .command("compare")
      .description("train several variants at a matched budget with several seeds, and measure what each costs")
      .option(
        "--variants <specs>",
        "comma-separated; the first is the reference",
        "MHA,GQA2-128,GQA1-256-PR,MLA,GQA2-(192+64)-S2",
      )
      .option("--seeds <n>", "training seeds per variant, on paired batches", wholeOption("--seeds"), 3),
  )
    .option("--match <what>", "parameters, flops, parameters,flops or none: what to make equal", "parameters,flops")
    .option(
      "--max-cache <n>",
      "shrink variants above this many cache numbers per token and layer",
      positiveOption("--max-cache"),
    )
    .option("--contexts <n,...>", "context lengths to time", listOption(wholeOption("--contexts")), [128, 1024])
    .option("--evaluations <n>", "held-out evaluations per run", wholeOption("--evaluations"), 20)
    .option("--held-out <n>", "batches per held-out evaluation", wholeOption("--held-out"), 8)
    .option("--json <file>", "write the result as JSON")
    .option("--html <file>", "write a self-contained report")
    .option("--state <dir>", "where an interrupted comparison is kept", "runs")
    .option("--schema", "print the JSON Schema of the result and stop")
    .option("--demo", "five variants, two seeds, embedded data, a report: about a minute")
    .addHelpText(
      "after",
      `
Examples:
  biform compare --demo
  biform compare --variants "MHA,GQA2-128,MLA" --data recall --pairs 16 --steps 500 --html recall.html
  biform compare --text shakespeare.txt --variants "MLA,GQA2-128,GQA1-256-PR" --minutes 60 --json result.json
  biform compare --variants "[GQA2-128*3,MLA],MLA" --rate 0.001,0.003,0.01

Ctrl-C stops after the step at work; the same command goes on where it stopped.`,
    )
    .action(async (options: CompareOptions, command: Command) => {
      if (options.schema) {
        console.log(JSON.stringify(comparisonSchema(), null, 2));
        return;
      }
      const chosen = options.demo
        ? Object.fromEntries(Object.entries(demo).filter(([name]) => command.getOptionValueSource(name) !== "cli"))
        : {};
      await run({ ...options, ...chosen } as CompareOptions);
    });
}

async function run(options: CompareOptions): Promise<void> {
  const started = new Date().toISOString();
  const source = await sourceOf(options);
  const wanted = splitSpecs(options.variants);
  if (new Set(wanted).size !== wanted.length)
    throw new ShapeError(`--variants: got "${options.variants}", expected each once`);
  // Every spec is read before anything is opened or trained, so that a typing error costs nothing.
  const shape = { ...modelOf(options), vocabulary: source(1).vocabulary };
  const models = wanted.map((pattern) => buildModel(pattern, shape));
  for (const note of baseNotes(models, options)) process.stderr.write(`${note}\n`);
  const { minutes } = options;
  const planned = settingsOf(options, wanted, minutes ? 1 : undefined);
  const device = await WasmDevice.open(options.threads ? { threads: options.threads } : {});
  const key = {
    ...planned,
    goal: { ...planned.goal, match: [...planned.goal.match], ...(minutes ? { budget: { minutes } } : {}) },
    data: [source(1).name, options.dataSeed, options.pairs, options.tokenizer],
    version: versions().biform,
  };
  const shelf = new Shelf<RunRecord>(options.state, key);
  const settings = minutes
    ? settingsOf(
        options,
        wanted,
        await flopsIn(minutes, planned, shape, source(1), device, new Shelf(options.state, key)),
      )
    : planned;
  const matched = match(wanted, shape, settings.goal);
  const interrupt = interruptible();
  const display = progress({
    title: `${wanted.length} variants, ${settings.seeds} seeds, ${source(1).name}`,
    total: 1,
    stream: process.stderr,
  });
  try {
    const variants = await compare(settings, source, device, {
      signal: interrupt.signal,
      shelf,
      watch: ({ spec, seed, done, progress: at, loss }) => {
        const { steps } = matched.find(({ pattern }) => pattern === spec)!;
        display.update({ done, label: `${spec}, seed ${seed}`, loss, detail: `step ${at.step} of ${steps}` });
      },
    });
    if (!variants) {
      await display.finish("interrupted; run the same command to go on from here");
      process.exitCode = 130;
      return;
    }
    await display.finish();
    const forms = [];
    for (const spec of agreeing(wanted)) forms.push(await agreement(spec, options, device));
    const result: Comparison = {
      machine: machineFacts(device),
      settings: {
        data: source(1).name,
        steps: settings.goal.budget && "steps" in settings.goal.budget ? settings.goal.budget.steps : matched[0]!.steps,
        layers: options.layers,
        width: options.width,
        match: options.match,
        heads: options.heads,
        dims: options.dims,
        tied: !options.untied,
        rope_base: options.ropeBase,
        length: options.length,
        batch: options.batch,
        seeds: options.seeds,
        data_seed: options.dataSeed,
        optimiser: settings.optimiser.kind,
        rates: [...settings.rates],
        warmup: settings.warmup,
        final_rate: settings.floor,
        decay: settings.optimiser.decay,
        clip: settings.optimiser.clip,
        held_out_batches: settings.heldOutBatches,
        contexts: [...settings.contexts],
        ...(options.maxCache ? { max_cache: options.maxCache } : {}),
        ...(options.data === "recall" && !options.text ? { pairs: options.pairs } : {}),
      },
      versions: versions(),
      command: commandText(),
      date: started.slice(0, 10),
      started,
      finished: new Date().toISOString(),
      variants,
      agreement: forms,
    };
    if (options.json) await writeAtomic(options.json, [`${JSON.stringify(result, null, 2)}\n`]);
    if (options.html) {
      // Drawing needs a document and a plotting library, which take a second to load.
      const { report } = await import("../lab/report.ts");
      await writeAtomic(options.html, [report(result)]);
    }
    console.log(table(result));
    for (const { spec, forms: names = [], float64, float32 } of forms)
      console.log(
        `${spec}: ${names.join(" and ")} differ by at most ${float64.toExponential(1)} (float64), ${float32.toExponential(1)} (float32)`,
      );
    if (options.json) console.log(`result: ${options.json}`);
    if (options.html) console.log(`report: ${options.html}`);
    await shelf.clear();
  } catch (error) {
    await display.finish("stopped");
    throw error;
  } finally {
    interrupt.end();
    device.close();
  }
}

/** FLOPs per run that fill the minutes; measured once and kept, so that an interrupted comparison goes on with the same. */
async function flopsIn(
  minutes: number,
  { variants, seeds, rates, optimiser, goal: { batch, length } }: CompareSettings,
  model: ModelSettings,
  source: Source,
  device: WasmDevice,
  shelf: Shelf<number>,
): Promise<number> {
  const known = await shelf.get("FLOPs");
  if (known !== undefined) return known;
  const runs = seeds + (rates.length > 1 ? rates.length : 0);
  const trial = { model, optimiser, rate: rates[0]!, batch, length };
  const flops = await flopsForMinutes(minutes, runs, variants, trial, source, device);
  await shelf.put("FLOPs", flops);
  return flops;
}

function settingsOf(options: CompareOptions, variants: string[], flops: number | undefined): CompareSettings {
  const matching = new Set(options.match.split(",").map((m) => m.trim()));
  for (const m of matching)
    if (!["parameters", "flops", "none"].includes(m))
      throw new ShapeError(`--match: got "${m}", expected parameters, flops, both with a comma, or none`);
  const steps = stepsOf(options);
  const budget = steps === undefined ? { flops: flops ?? options.budget! } : { steps };
  return {
    variants,
    seeds: options.seeds,
    model: modelOf(options),
    goal: {
      match: matching as Set<Matching>,
      length: options.length,
      batch: options.batch,
      budget,
      ...(options.maxCache ? { maxCache: options.maxCache } : {}),
    },
    optimiser: optimiserOf(options),
    rates: options.rate,
    warmup: options.warmup,
    floor: 0.1,
    evaluations: options.evaluations,
    heldOutBatches: options.heldOut,
    contexts: options.contexts,
  };
}

/** The variants, one of each kind, that have more than one form. */
function agreeing(wanted: readonly string[]): string[] {
  return wanted.filter((spec) => /MLA/.test(spec) && !spec.includes("[")).slice(0, 2);
}

async function agreement(spec: string, options: CompareOptions, device: WasmDevice) {
  const found = await agree(spec, { width: options.width, heads: options.heads, tokens: 48, seed: 1, wasm: device });
  return {
    spec,
    forms: found.forms.map(({ form }) => form),
    float64: found.float64.absolute,
    float32: found.float32!.absolute,
  };
}
