import type { Command } from "commander";
import { buildModel } from "../model/build.ts";
import { stat } from "../tensor/node.ts";
import { exportFresh, exportTrained } from "../torch/export.ts";
import { positiveOption, wholeOption } from "./option.ts";

interface Options {
  width: number;
  heads: number;
  layers: number;
  intermediate?: number;
  untied?: true;
  dims: "scaled" | "exact";
  ropeBase: number;
  vocabulary: number;
  seed: number;
  json?: true;
}

/** `biform export torch`: a model as readable Python. */
export function torchCommand(command: Command): void {
  command
    .argument(
      "<what>",
      "a variant's name or a pattern of layers; or a checkpoint that Biform reads, a folder or a GGUF file",
    )
    .argument("<folder>", "the folder to write, empty or not there yet; its name is the package's")
    .option("--width <n>", "of a new model: hidden width", wholeOption("--width"), 128)
    .option("--heads <n>", "query heads", wholeOption("--heads"), 8)
    .option("--layers <n>", "layers", wholeOption("--layers"), 4)
    .option("--intermediate <n>", "MLP width (default: 8/3 of the width)", wholeOption("--intermediate"))
    .option("--vocabulary <n>", "token ids", wholeOption("--vocabulary"), 256)
    .option("--untied", "a head of its own instead of the embedding's transpose")
    .option("--dims <how>", "scaled: dims in names are those at width/heads = 128; exact: as written", "scaled")
    .option("--rope-base <x>", "rotary base", positiveOption("--rope-base"), 10000)
    .option("--seed <n>", "of the weights", wholeOption("--seed"), 1)
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
  biform export torch model.gguf llama --json`,
    )
    .action(run);
}

async function run(what: string, folder: string, options: Options): Promise<void> {
  const { width, heads, layers, intermediate, vocabulary, untied, dims, ropeBase: base, seed, json } = options;
  const there = await stat(what).catch(() => undefined);
  const written = there
    ? await exportTrained(what, folder)
    : await exportFresh(
        buildModel(what, { vocabulary, width, heads, layers, intermediate, tied: !untied, dims, base }),
        folder,
        seed,
      );
  if (json) console.log(JSON.stringify({ what, folder, ...written }));
  else
    console.log(`${folder}: ${written.kinds.map((kind) => `${kind}.py`).join(", ")}; ${written.parameters} parameters`);
}
