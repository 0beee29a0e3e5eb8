import { type Command, Option } from "commander";
import { type Blueprint, draftBy } from "../../cost/blueprint.ts";
import { type Offload, parseOffload } from "../../cost/offload.ts";
import { essay } from "../../cost/paper.ts";
import { tableWidth } from "../../draw/text.ts";
import { writeAtomic } from "../../file/atomic.ts";
import { bytesOf, dtypeOf, tokensOf } from "../../plan/amount.ts";
import type { EngineSettings } from "../../plan/engine/engine.ts";
import { startOf, startText } from "../../plan/engine/start.ts";
import { type EngineName, engineNames } from "../../plan/launch/flag.ts";
import type { OpenOptions } from "../../plan/open.ts";
import { type PlanSettings, plan } from "../../plan/plan.ts";
import { planJsonSchema } from "../../plan/schema.ts";
import { detailTable } from "../../plan/show/detail.ts";
import type { Planned } from "../../plan/show/report.ts";
import { comparisonTable, planTable } from "../../plan/show/table.ts";
import { ShapeError } from "../../tensor/error.ts";
import { interruptible } from "../interrupt.ts";
import { commandText, positiveOption, wholeOption } from "../option.ts";
import { examples } from "./example.ts";
import { groupsFor, HERE, hostsFor, thisText } from "./host.ts";
import type { Measuring } from "./measure.ts";
import { openWatched } from "./open.ts";

/** Tokens planned for unless a model is declared for fewer or the command line says otherwise. */
const CONTEXT = 8192;

interface Options {
  context?: number;
  batch: number;
  step: number;
  accepted?: number;
  weights?: PlanSettings["weightType"];
  cache: PlanSettings["cacheType"];
  memory?: number;
  machine?: string[];
  layout: string[];
  engine?: Partial<EngineSettings>;
  offload?: Offload;
  as?: string;
  width?: number;
  heads?: number;
  layers?: number;
  vocabulary?: number;
  intermediate?: number;
  dims?: "scaled" | "exact";
  compare?: true;
  diff?: string;
  draft?: string;
  serve?: EngineName;
  match?: string[];
  measure?: true;
  details?: true;
  pictures?: true;
  json?: true;
  html?: string;
  list?: true;
  schema?: true;
  paper?: string;
}

/** `biform plan`: exact sizes and costs of any model on any machine, without running anything. */
export function planCommand(command: Command): void {
  const amount =
    <T>(name: string, read: (subject: string, text: string) => T) =>
    (text: string) =>
      read(name, text);
  const names = (text: string) => text.split(/,(?![^(]*\))/).map((name) => name.trim());
  command
    .argument("[models...]", "presets, files, addresses or variants")
    .option(
      "--context <n>",
      `tokens: 4096, 128k, 1M (default: ${CONTEXT}, or what all models are declared for)`,
      amount("--context", tokensOf),
    )
    .option("--batch <n>", "sequences at a time", wholeOption("--batch"), 1)
    .option("--step <n>", "new tokens of a sequence per decoding step", wholeOption("--step"), 1)
    .option(
      "--accepted <n>",
      "tokens of a sequence that such a step adds on average: 2.3",
      positiveOption("--accepted"),
    )
    .option(
      "--weights <type>",
      "f32, bf16, f16, fp8, q8, q4, or file: as they are shipped (the default where that is known, else bf16)",
      weightType,
    )
    .option("--cache <type>", "f32, bf16, f16, fp8, q8 or q4", amount("--cache", dtypeOf), "float16")
    .option(
      "--memory <bytes>",
      "memory for weights and cache, in place of each machine's own: 24GiB",
      amount("--memory", bytesOf),
    )
    .option(
      "--machine <names>",
      "comma-separated, see --list; several of one: 8xh200, 2xrtx-5090; this: the one at hand",
      names,
    )
    .option("--engine <settings>", `how engines are started: ${startText}`, amount("--engine", startOf))
    .option("--layout <names>", "comma-separated: tp8, dp8, cp4; several at once as tp4+dp2", names, [])
    .option(
      "--offload <what>",
      "to the CPU of a machine as rtx-4090+ryzen-9950x: experts, or the last layers as layers:12",
      parseOffload,
    )
    .option("--as <spec>", "attention of an architecture that is not known: a variant's name with sizes")
    .option("--width <n>", "hidden width of a variant", wholeOption("--width"))
    .option("--heads <n>", "its query heads", wholeOption("--heads"))
    .option("--layers <n>", "its layers", wholeOption("--layers"))
    .option("--vocabulary <n>", "its vocabulary", wholeOption("--vocabulary"))
    .option("--intermediate <n>", "its MLP's width", wholeOption("--intermediate"))
    .option("--dims <how>", "scaled: dims in names are those at width/heads = 128; exact: as written")
    .option(
      "--match <target>",
      "sizes of variants (those named, else all kinds) that meet it: cache=512, parameters=13e6, flops=10240, decode=4e6",
      (text: string, before: string[] = []) => [...before, text],
    )
    .option("--measure", "run a layer of the model in every form here, and set predictions beside that")
    .option("--compare", "one row per model; several models imply it")
    .option("--draft <model>", "what proposes tokens in place of a model's own layers: an EAGLE head, a smaller model")
    .option("--diff <model>", "what changes from the model to this one: sizes, bytes, seconds")
    .addOption(
      new Option(
        "--serve <engine>",
        "print the command line with which an engine serves this plan, a reason per flag",
      ).choices(engineNames),
    )
    .option("--details", "layers and work too")
    .option("--pictures", "pictures although the output is no terminal")
    .option("--json", "print JSON")
    .option("--html <file>", "write a self-contained report")
    .option("--list", "known models and machines with their sources")
    .option("--schema", "print the JSON Schema of a plan and stop")
    .option("--paper <id>", "count a paper's tables: 10907 (kexue.fm/archives/10907)")
    .addHelpText("after", examples)
    .action(run);
}

function weightType(text: string): PlanSettings["weightType"] {
  return text.trim().toLowerCase() === "file" ? "file" : dtypeOf("--weights", text);
}

async function run(models: string[], options: Options): Promise<void> {
  const { json = false } = options;
  if (options.schema) console.log(JSON.stringify(planJsonSchema(), null, 2));
  else if (options.paper !== undefined) (await import("./paper.ts")).showPaper(options.paper, { json });
  else if (options.list) (await import("./list.ts")).showList({ json });
  else if (options.match) {
    const { width = essay.width, heads = essay.heads, match } = options;
    (await import("./match.ts")).showMatches({ match, width, heads, specs: models, json });
  } else await planModels(models, options);
}

async function planModels(models: readonly string[], options: Options): Promise<void> {
  if (models.length === 0)
    throw new ShapeError(
      "plan: got no model, expected a preset, a file, an address or a variant; biform plan --list names presets",
    );
  if (options.diff !== undefined && models.length > 1)
    throw new ShapeError(`--diff: got ${models.length} models to compare with ${options.diff}, expected one; name one`);
  const interrupt = interruptible();
  try {
    const blueprints: Blueprint[] = [];
    for (const model of options.diff === undefined ? models : [...models, options.diff])
      blueprints.push(
        await openWatched(model, { ...given(options), files: options.weights === "file", signal: interrupt.signal }),
      );
    const { draft: path } = options;
    const draft =
      path === undefined ? undefined : { path, blueprint: await openWatched(path, { signal: interrupt.signal }) };
    if (draft) for (const [i, blueprint] of blueprints.entries()) blueprints[i] = draftBy(blueprint, draft.blueprint);
    const settings = await settingsOf(blueprints, options);
    if (options.serve !== undefined) {
      const { showLaunch } = await import("./launch.ts");
      return await showLaunch(models, { draft, settings, engine: options.serve, blueprint: blueprints[0]! }, options);
    }
    const here = settings.hosts.some(({ name }) => name === HERE) ? [await thisText()] : [];
    const planned = blueprints.map((blueprint) => {
      const { notes, ...rest } = plan(blueprint, settings);
      return { blueprint, settings, plan: { ...rest, notes: [...notes, ...here] } };
    });
    const measured: Measuring[] = [];
    if (options.measure) {
      const { measureCrossover } = await import("./measure.ts");
      for (const blueprint of blueprints) measured.push(await measureCrossover(blueprint, interrupt.signal));
    }
    if (options.html) await writeReport(options.html, planned);
    await show(planned, measured, options);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    interrupt.end();
  }
}

/** What was given on the command line, under the names that reading asks for. */
function given({ as, width, heads, layers, vocabulary, intermediate, dims }: Options): OpenOptions {
  const all = { as, width, heads, layers, vocabulary, intermediate, dims };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** The settings of all plans: one context, so that they can be compared. */
async function settingsOf(blueprints: readonly Blueprint[], options: Options): Promise<PlanSettings> {
  const { context, batch, step, accepted, weights, cache, memory, layout, engine, offload } = options;
  const groups = groupsFor(options.machine, memory);
  if (offload && !groups.some(({ beside }) => beside))
    throw new ShapeError(
      "--offload: got no machine with a processor beside it, expected one as --machine rtx-4090+ryzen-9950x",
    );
  const hosts = await hostsFor(options.machine, { warn: (line) => process.stderr.write(`${line}\n`) });
  return {
    context: context ?? Math.min(CONTEXT, ...blueprints.flatMap(({ maxContext }) => maxContext ?? [])),
    batch,
    step,
    weightType: weights ?? (blueprints.some(({ weightBytes }) => weightBytes !== undefined) ? "file" : "bfloat16"),
    cacheType: cache,
    accepted,
    hosts: memory === undefined ? hosts : hosts.map((host) => ({ ...host, memory })),
    layouts: layout,
    groups,
    engine,
    offload,
  };
}

/** Drawing needs a document and a plotting library, which take a second to load. */
async function writeReport(path: string, planned: readonly Planned[]): Promise<void> {
  const [{ JSDOM }, { planChapters, planHeading }, { page }] = await Promise.all([
    import("jsdom"),
    import("../../plan/show/report.ts"),
    import("../../draw/html.ts"),
  ]);
  const { window } = new JSDOM("");
  const body = planChapters(planned, window.document, commandText());
  window.close();
  await writeAtomic(path, [page(planHeading(planned), body)]);
}

async function show(planned: readonly Planned[], measured: readonly Measuring[], options: Options): Promise<void> {
  const { json, compare, details, html, pictures } = options;
  const plans = planned.map(({ plan }) => plan);
  const several = compare || plans.length > 1;
  if (options.diff !== undefined) return showDifference(planned, options);
  if (json) {
    const all = plans.map((plan, at) => (measured[at] ? { ...plan, measured: measured[at] } : plan));
    console.log(JSON.stringify(all.length > 1 ? all : all[0], null, 2));
    return;
  }
  const parts = [several ? comparisonTable(plans) : planTable(plans[0]!)];
  if (details) parts.push(...plans.map(detailTable));
  if (measured.length) {
    const { measuringTable } = await import("./measure.ts");
    parts.push(...measured.map(measuringTable));
  }
  if (pictures || process.stdout.isTTY) parts.push(await picturesOf(planned));
  process.stdout.write(parts.join("\n"));
  if (html) process.stdout.write(`report: ${html}\n`);
}

async function showDifference(planned: readonly Planned[], { json, html, pictures }: Options): Promise<void> {
  const [{ plan: a }, { plan: b }] = planned as [Planned, Planned];
  const [{ comparePlans }, { differenceTable }] = await Promise.all([
    import("../../plan/difference.ts"),
    import("../../plan/show/difference.ts"),
  ]);
  const difference = comparePlans(a, b);
  if (json) return console.log(JSON.stringify(difference, null, 2));
  const parts = [differenceTable(difference, a)];
  if (pictures || process.stdout.isTTY) parts.push(await picturesOf(planned));
  process.stdout.write(parts.join("\n"));
  if (html) process.stdout.write(`report: ${html}\n`);
}

/** Pictures no wider than the terminal. */
async function picturesOf(planned: readonly Planned[]): Promise<string> {
  const { chartsOf } = await import("../../plan/show/chart.ts");
  return chartsOf(planned, { width: Math.min(tableWidth, process.stdout.columns || tableWidth), height: 14 });
}
