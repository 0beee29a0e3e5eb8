import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { type Preset, presetConfig, presets, type Size, sizes } from "../checkpoint/preset.ts";
import { type Sample, sampleSize, writeSampleFolder, writeSampleGguf } from "../checkpoint/sample.ts";
import type { MlaLayout } from "../family/table.ts";
import { wholeOption } from "./option.ts";
import { progress } from "./progress.ts";

interface Options {
  preset: Preset;
  size: Size;
  type: (typeof types)[number];
  layout: MlaLayout;
  seed: number;
  json?: true;
}

/** The types of matrices that can be written. */
const types = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"] as const;

/** `biform make-model`: a model of random weights, so that a comparison can be repeated without a download. */
export function makeCommand(command: Command): void {
  command
    .argument("<path>", "folder, or file ending in .gguf")
    .addOption(new Option("--preset <name>", "which model").choices(presets).default("deepseek2"))
    .addOption(new Option("--size <name>", "how large").choices(sizes).default("tiny"))
    .addOption(new Option("--type <name>", "numbers of the matrices").choices(types).default("F32"))
    .addOption(
      new Option("--layout <name>", "MLA's up-projections in a GGUF file: apart, or joined as in older files")
        .choices(["absorbed", "joint"])
        .default("absorbed"),
    )
    .option("--seed <n>", "seed of the weights", wholeOption("--seed", 0), 1)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
One preset, size and seed are one model: its numbers are the same in every file, up to the rounding of the type.
Folders take F32, F16 and BF16. Where a row is no whole number of a type's blocks, that matrix gets Q8_0 or F16.

Examples:
  biform make-model models/tiny                            a folder
  biform make-model models/tiny.gguf                       the same model as GGUF
  biform make-model old.gguf --layout joint                with kv_b as older files have it
  biform make-model q8.gguf --size 450m --type Q8_0        0.44 B parameters, DeepSeek-V2-Lite's heads
  biform make-model moe.gguf --preset deepseek2-moe --type Q4_K --json`,
    )
    .action(make);
}

async function make(path: string, options: Options): Promise<void> {
  const { preset, size, type, layout, seed } = options;
  const config = presetConfig(preset, size);
  const parameters = sampleSize(config);
  const display = progress({ title: `${preset} ${size} as ${type}`, total: parameters });
  // A matrix that goes into two tensors is drawn for each.
  const drawn = new Set<string>();
  let done = 0;
  const sample: Sample = {
    seed,
    type,
    layout,
    onTensor(name, elements) {
      // It is only begun: what is done are those before it.
      display.update({ done, label: name });
      if (!drawn.has(name)) done += elements;
      drawn.add(name);
    },
  };
  const start = performance.now();
  try {
    if (path.endsWith(".gguf")) await writeSampleGguf(path, config, sample, `biform ${preset} ${size}`);
    else await writeSampleFolder(path, config, sample);
  } catch (error) {
    await display.finish("stopped");
    throw error;
  }
  const seconds = (performance.now() - start) / 1000;
  display.update({ done, label: "" });
  await display.finish();
  const { size: bytes } = await stat(path.endsWith(".gguf") ? path : `${path}/model.safetensors`);
  const facts = {
    path,
    preset,
    size,
    type,
    layout: path.endsWith(".gguf") ? layout : undefined,
    seed,
    parameters,
    bytes,
    seconds,
  };
  if (options.json) console.log(JSON.stringify(facts));
  else console.log(`${path}: ${parameters} parameters, ${(bytes / 1e6).toFixed(1)} MB, ${seconds.toFixed(1)} s`);
}
