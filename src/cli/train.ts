import type { Command } from "commander";
import { WasmDevice } from "../device/wasm.ts";
import { flopsForMinutes } from "../lab/budget.ts";
import { match } from "../lab/match.ts";
import { writeSample } from "../lab/sample.ts";
import { buildModel } from "../model/build.ts";
import { modelSize } from "../model/model.ts";
import { ShapeError } from "../tensor/error.ts";
import { plannedSteps } from "../train/checkpoint.ts";
import { train } from "../train/run.ts";
import { interruptible } from "./interrupt.ts";
import { machineFacts, wholeOption } from "./option.ts";
import { progress } from "./progress.ts";
import { baseNotes, modelOf, type Options, optimiserOf, sharedOptions, sourceOf, stepsOf } from "./setting.ts";
import { versions } from "./version.ts";

interface TrainOptions extends Options {
  attention: string;
  seed: number;
  out?: string;
  saveEvery: number;
  json?: true;
}

/** `biform train`: one model, saved as a checkpoint folder that training goes on from. */
export function trainCommand(program: Command): void {
  sharedOptions(
    program
      .command("train")
      .description("train one model; --out keeps it, and the same command goes on where it stopped")
      .option("--attention <spec>", "a variant, or a pattern of layers such as [GQA2-128*3,MLA]", "MLA")
      .option("--seed <n>", "seed of weights and batches", wholeOption("--seed"), 1)
      .option("--out <dir>", "checkpoint folder")
      .option("--save-every <n>", "steps between checkpoints", wholeOption("--save-every"), 100)
      .option("--json", "print the result as JSON"),
  )
    .addHelpText(
      "after",
      `
Examples:
  biform train --attention MLA --steps 300 --out runs/mla
  biform train --attention "[GQA2-128*3,MLA]" --text book.txt --minutes 10 --out runs/hybrid
  biform train --attention "GQA2-(192+64)-S2" --optimiser muon --data recall --json`,
    )
    .action(run);
}

async function run(options: TrainOptions): Promise<void> {
  const source = (await sourceOf(options))(options.seed);
  const { batch, length } = options;
  if (options.rate.length > 1) throw new ShapeError("--rate: got several, expected one; `biform compare` sweeps rates");
  const base = { ...modelOf(options), vocabulary: source.vocabulary };
  // Minutes were turned into steps when the run began; going on keeps those.
  const kept = options.minutes && options.out ? await plannedSteps(options.out) : undefined;
  const steps = kept ?? stepsOf(options);
  const { attention, minutes, rate } = options;
  const trial = { model: base, optimiser: optimiserOf(options), rate: rate[0]!, batch, length };
  for (const note of baseNotes([buildModel(attention, base)], options)) process.stderr.write(`${note}\n`);
  const device = await WasmDevice.open(options.threads ? { threads: options.threads } : {});
  const flops =
    minutes && !kept ? await flopsForMinutes(minutes, 1, [attention], trial, source, device) : options.budget;
  const budget = steps !== undefined ? { steps } : { flops: flops! };
  const [matched] = match([attention], base, { match: new Set(["none"]), length, batch, budget });
  const interrupt = interruptible();
  process.stderr.write(`${attention}: ${modelSize(matched!.model)} parameters, ${matched!.steps} steps\n`);
  const display = progress({
    title: `${options.attention} on ${source.name}`,
    total: matched!.steps,
    stream: process.stderr,
  });
  try {
    const result = await train(
      {
        ...trial,
        pattern: attention,
        warmup: Math.min(options.warmup, Math.ceil(matched!.steps / 5)),
        floor: 0.1,
        steps: matched!.steps,
        seed: options.seed,
        evaluateEvery: Math.max(1, Math.ceil(matched!.steps / 10)),
        heldOutBatches: 8,
        source: source.name,
      },
      source,
      device,
      {
        signal: interrupt.signal,
        ...(options.out ? { checkpoint: { dir: options.out, every: options.saveEvery } } : {}),
        onStep: (at, loss) =>
          display.update({ done: at.step, label: attention, detail: `step ${at.step} of ${matched!.steps}`, loss }),
      },
    );
    const again = options.out ? `; run the same command to go on from ${options.out}` : "";
    await display.finish(result.complete ? undefined : `interrupted at step ${result.step}${again}`);
    // Only text is worth writing on: rows of recall have a least length besides.
    const sample =
      source.bytesPerToken === undefined ? undefined : await writeSample(result.model, result.weights, source, length);
    const bits =
      result.loss !== null && source.bytesPerToken ? result.loss / Math.LN2 / source.bytesPerToken : undefined;
    if (options.json) {
      const { model, weights: _, ...rest } = result;
      console.log(
        JSON.stringify({
          spec: options.attention,
          parameters: modelSize(model),
          ...rest,
          bitsPerByte: bits,
          sample: sample?.text,
          machine: machineFacts(device),
          versions: versions(),
        }),
      );
    } else {
      console.log(
        `held-out loss ${result.loss?.toFixed(4) ?? "not measured"} nats per token${bits ? `, ${bits.toFixed(4)} bits per byte` : ""}`,
      );
      console.log(`${Math.round(result.tokensPerSecond)} tokens/s`);
      if (sample) console.log(`\n${sample.prompt} >>> ${sample.text}`);
      if (options.out) console.log(`\ncheckpoint: ${options.out}`);
    }
    if (!result.complete) process.exitCode = 130;
  } catch (error) {
    await display.finish("stopped");
    throw error;
  } finally {
    interrupt.end();
    device.close();
  }
}
