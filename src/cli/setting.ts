import type { Command } from "commander";
import { type Source, seeded } from "../data/source.ts";
import { openTask, type Task } from "../data/task.ts";
import { openText } from "../data/text.ts";
import type { DeviceName } from "../device/open.ts";
import type { Model } from "../model/model.ts";
import { baseHolds, leastBase } from "../ops/rope/bound.ts";
import { ShapeError } from "../tensor/error.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { type OptimiserSettings, optimiserDefaults } from "../train/optimiser.ts";
import { deviceOption, listOption, positiveOption, wholeOption } from "./option.ts";

/** Sizes of a model that is made here, as the command line gives them. */
export interface ModelOptions {
  width: number;
  heads: number;
  layers: number;
  intermediate?: number;
  untied?: true;
  dims: "scaled" | "exact";
  ropeBase: number;
}

/** Options that `train` and `compare` share, as the command line gives them. */
export interface Options extends ModelOptions {
  text?: string[];
  data: string;
  tokenizer?: string;
  dataSeed: number;
  pairs: number;
  queries?: number;
  items: number;
  vocabulary: number;
  length: number;
  batch: number;
  steps?: number;
  tokens?: number;
  budget?: number;
  minutes?: number;
  optimiser: string;
  rate: number[];
  warmup: number;
  decay: number;
  clip: number;
  threads?: number;
  device: DeviceName;
}

/** Adds the sizes of a model to a command. */
export function modelOptions(command: Command): Command {
  return command
    .option("--width <n>", "hidden width", wholeOption("--width"), 128)
    .option("--heads <n>", "query heads", wholeOption("--heads"), 8)
    .option("--layers <n>", "layers", wholeOption("--layers"), 4)
    .option("--intermediate <n>", "MLP width (default: 8/3 of the width)", wholeOption("--intermediate"))
    .option("--untied", "a head of its own instead of the embedding's transpose")
    .option("--dims <how>", "scaled: dims in names are those at width/heads = 128; exact: as written", "scaled")
    .option("--rope-base <x>", "rotary base", positiveOption("--rope-base"), 10000);
}

/** Adds the shared options to a command. */
export function sharedOptions(command: Command): Command {
  const data = command
    .option("--text <file...>", "text files to learn from, in bytes unless --tokenizer is given")
    .option("--data <name>", "without --text: recall (associative recall), copying or story (a story grammar)", "story")
    .option("--tokenizer <file>", "a tokenizer.json for --text")
    .option("--data-seed <n>", "seed of the data", wholeOption("--data-seed", 0), 1)
    .option("--pairs <n>", "key-value pairs of --data recall", wholeOption("--pairs"), 8)
    .option("--queries <n>", "keys asked for by --data recall (default: as many as pairs)", wholeOption("--queries"))
    .option("--items <n>", "symbols of --data copying", wholeOption("--items"), 16)
    .option("--vocabulary <n>", "token ids of --data recall and copying", wholeOption("--vocabulary"), 64);
  return modelOptions(data)
    .option("--length <n>", "tokens per row", wholeOption("--length"), 128)
    .option("--batch <n>", "rows per step", wholeOption("--batch"), 16)
    .option("--steps <n>", "budget: training steps (default 200)", wholeOption("--steps"))
    .option("--tokens <n>", "budget: training tokens", positiveOption("--tokens"))
    .option("--budget <flops>", "budget: training FLOPs per run, e.g. 2e13", positiveOption("--budget"))
    .option("--minutes <n>", "budget: minutes for everything, measured beforehand", positiveOption("--minutes"))
    .option("--optimiser <name>", "adamw or muon (matrices by Muon, attention head by head)", "adamw")
    .option(
      "--rate <x,...>",
      "peak learning rate; several: swept per variant",
      listOption(positiveOption("--rate")),
      [0.003],
    )
    .option("--warmup <n>", "warm-up steps (at most a fifth of all)", wholeOption("--warmup", 0), 20)
    .option("--decay <x>", "weight decay", Number, optimiserDefaults.decay)
    .option("--clip <x>", "largest gradient norm", positiveOption("--clip"), optimiserDefaults.clip)
    .option("--threads <n>", "threads (default: up to all cores, as many as are the fastest)", wholeOption("--threads"))
    .addOption(deviceOption("wasm", "webgpu"));
}

/** The sizes that the options describe. Throws ShapeError. */
export function modelOf({ width, heads, layers, dims, ropeBase, intermediate, untied }: ModelOptions) {
  if (dims !== "scaled" && dims !== "exact") throw new ShapeError(`--dims: got "${dims}", expected scaled or exact`);
  return { width, heads, layers, dims, base: ropeBase, tied: !untied, intermediate };
}

/** A line for each rotary width of a model whose base is below what this many tokens need (kexue.fm/archives/10122). */
export function baseNotes(models: readonly Model[], { length, ropeBase }: Options): string[] {
  const widths = new Map<string, [rotary: number, plain: number]>();
  for (const { layers } of models)
    for (const { attention } of layers) {
      const [rotary, plain] = [2 * attention.rotation.frequencies.length, attention.sizes.n];
      if (rotary) widths.set(`${rotary}+${plain}`, [rotary, plain]);
    }
  return [...widths.values()]
    .filter(([rotary, plain]) => !baseHolds(ropeBase, length, rotary, plain))
    .map(([rotary, plain]) => {
      const dims = `${rotary} rotary dims beside ${plain}`;
      const least = leastBase(length, rotary, plain);
      if (least === undefined)
        return `note: ${length} tokens are more than ${dims} tell by any --rope-base (kexue.fm/archives/10122)`;
      return `note: --rope-base ${ropeBase} is less than ${length} tokens need with ${dims}: ${least} (kexue.fm/archives/10122)`;
    });
}

/** The optimiser that the options describe. Throws ShapeError. */
export function optimiserOf(options: Options): OptimiserSettings {
  const { optimiser, decay, clip } = options;
  if (optimiser !== "adamw" && optimiser !== "muon")
    throw new ShapeError(`--optimiser: got "${optimiser}", expected adamw or muon`);
  if (!Number.isFinite(decay) || decay < 0) throw new ShapeError(`--decay: got ${decay}, expected 0 or more`);
  return { ...optimiserDefaults, kind: optimiser, decay, clip };
}

/** Where training data come from, for each training seed. Throws ShapeError for options, FormatError for files of text. */
export async function sourceOf(options: Options): Promise<(seed: number) => Source> {
  return seeded(await openSource(options));
}

/** What is made where no text is given. Throws ShapeError for a name that is none. */
export function taskOf({ data, dataSeed: seed, pairs, queries, items, vocabulary }: Options): Task {
  if (data === "story") return { kind: "story", seed };
  if (data === "recall") return { kind: "recall", seed, pairs, queries, vocabulary };
  if (data === "copying") return { kind: "copying", seed, items, vocabulary };
  throw new ShapeError(`--data: got "${data}", expected recall, copying or story; for files use --text`);
}

async function openSource(options: Options): Promise<Source> {
  const { text, dataSeed: seed, length, tokenizer } = options;
  if (text) return openText(text, { seed, length, tokenizer: tokenizer ? await loadTokenizer(tokenizer) : undefined });
  if (tokenizer) throw new ShapeError("--tokenizer: got no --text, expected text files for it; add --text FILE");
  return openTask(taskOf(options));
}

/** Steps for the budget options; undefined where it is given in FLOPs or minutes. Throws ShapeError where two are given. */
export function stepsOf(options: Options): number | undefined {
  const given = (["steps", "tokens", "budget", "minutes"] as const).filter((name) => options[name] !== undefined);
  if (given.length > 1) throw new ShapeError(`budget: got --${given.join(" and --")}, expected one of them`);
  if (options.budget !== undefined || options.minutes !== undefined) return undefined;
  if (options.tokens !== undefined) return Math.max(1, Math.round(options.tokens / (options.batch * options.length)));
  return options.steps ?? 200;
}
