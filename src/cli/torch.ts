import type { Command } from "commander";
import { openExperiment } from "../cluster/experiment.ts";
import { buildModel } from "../model/build.ts";
import { ShapeError } from "../tensor/error.ts";
import { stat } from "../tensor/node.ts";
import { exportExperiment } from "../torch/experiment.ts";
import { exportFresh, exportTrained, type Written } from "../torch/export.ts";
import { wholeOption } from "./option.ts";
import { type ModelOptions, modelOf, modelOptions } from "./setting.ts";

interface Options extends ModelOptions {
  vocabulary: number;
  seed: number;
  runs?: string;
  json?: true;
}

/** `biform export torch`: a model as readable Python. */
export function torchCommand(command: Command): void {
  const model = command
    .argument(
      "<what>",
      "a variant's name or a pattern of layers; a checkpoint that Biform reads, a folder or a GGUF file; or an experiment of biform compare, a .json file",
    )
    .argument("<folder>", "the folder to write, empty or not there yet; its name is the package's");
  modelOptions(model)
    .option("--vocabulary <n>", "token ids of a new model", wholeOption("--vocabulary"), 256)
    .option("--seed <n>", "of the weights", wholeOption("--seed"), 1)
    .option("--runs <where>", "of an experiment: where its runs leave what they found (default: FILE.runs beside it)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A file for each kind of attention, written from its definition: all its forms over its own cache, as PyTorch and as a model that
transformers load. Weights lie under Biform's names, so what is trained there runs here.

Examples:
  biform export torch MLA mla                                       a new model, weights from a seed
  biform export torch "[KDA*3,MLA]" hybrid --width 1024 --layers 24
  biform export torch runs/mla mla                                  what biform train left
  biform export torch model.gguf llama --json
  biform export torch study.json study-torch                        all runs of an experiment, to be trained there`,
    )
    .action(run);
}

async function run(what: string, folder: string, options: Options): Promise<void> {
  const written = await write(what, folder, options);
  if (options.json) console.log(JSON.stringify({ what, folder, ...written }));
  else
    console.log(`${folder}: ${written.kinds.map((kind) => `${kind}.py`).join(", ")}; ${written.parameters} parameters`);
}

async function write(what: string, folder: string, options: Options): Promise<Written> {
  if (what.endsWith(".json"))
    return exportExperiment(await openExperiment(what), folder, options.runs ?? what.replace(/\.json$/, ".runs"));
  if (options.runs)
    throw new ShapeError(`--runs: got ${what}, expected an experiment for it, a .json file; leave it out`);
  if (await stat(what).catch(() => undefined)) return exportTrained(what, folder);
  const { vocabulary, seed } = options;
  return exportFresh(buildModel(what, { ...modelOf(options), vocabulary }), folder, seed);
}
