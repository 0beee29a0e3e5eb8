import type { Command } from "commander";
import type { Source } from "../data/source.ts";
import { openDevice } from "../device/open.ts";
import type { FolderFile } from "../file/atomic.ts";
import { readSmall } from "../file/disk.ts";
import { sampleTokens, writeSample } from "../lab/continuation.ts";
import { mostSteps } from "../lab/fit.ts";
import { type Matching, match } from "../lab/match.ts";
import { rehearse } from "../lab/pace.ts";
import { wall } from "../measure/clock.ts";
import { buildModel } from "../model/build.ts";
import { modelSize } from "../model/model.ts";
import type { Device } from "../tensor/device.ts";
import { ShapeError } from "../tensor/error.ts";
import { TOKENIZER_LIMIT } from "../tokenizer/tokenizer.ts";
import { plannedSteps } from "../train/checkpoint.ts";
import { type Progress as Standing, type TrainSettings, train, trainWork } from "../train/train.ts";
import { machineFacts, wholeOption } from "./option.ts";
import { baseNotes, modelOf, type Options, optimiserOf, sharedOptions, sourceOf, stepsOf } from "./setting.ts";
import { versions } from "./version.ts";
import { underWatch } from "./watch.ts";

interface TrainOptions extends Options {
  attention: string;
  seed: number;
  out?: string;
  saveEvery: number;
  json?: true;
}

/** `biform train`: one model, saved as a checkpoint folder that training goes on from. */
export function trainCommand(command: Command): void {
  sharedOptions(
    command
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
  const { attention, out, rate } = options;
  const source = (await sourceOf(options))(options.seed);
  if (rate.length > 1) throw new ShapeError("--rate: got several, expected one; `biform compare` sweeps rates");
  const given = stepsOf(options);
  const first = settingsOf(options, source, given ?? 1);
  const model = buildModel(attention, first.model);
  for (const note of baseNotes([model], options)) process.stderr.write(`${note}\n`);
  const device = await openDevice(options.device, options.threads);
  try {
    await underWatch({ title: `${attention} on ${source.name}`, total: 1 }, async (display, signal) => {
      const steps = given ?? (await stepsWithin(options, source, device, signal));
      const settings = settingsOf(options, source, steps);
      process.stderr.write(`${attention}: ${modelSize(model)} parameters, ${steps} steps\n`);
      const tell = ({ step }: Standing, loss?: number) =>
        display.update({
          done: trainWork(settings, step) / trainWork(settings, steps),
          label: attention,
          detail: `step ${step} of ${steps}`,
          loss,
        });
      const result = await train(settings, source, device, {
        signal,
        ...(out ? { checkpoint: { dir: out, every: options.saveEvery, beside: await besideOf(options) } } : {}),
        onStart: tell,
        onStep: tell,
      });
      const again = out ? `; run the same command to go on from ${out}` : "";
      await display.finish(result.complete ? undefined : `interrupted at step ${result.step}${again}`);
      // Only text is worth writing on: rows of recall have a least length besides.
      const sample =
        source.bytesPerToken === undefined
          ? undefined
          : await writeSample(result.model, result.weights, source, options.length);
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
    });
  } finally {
    device.close();
  }
}

/** What lies beside a checkpoint: the tokenizer of its text, by which it is run and exported. */
async function besideOf({ tokenizer }: TrainOptions): Promise<FolderFile[]> {
  return tokenizer === undefined
    ? []
    : [{ name: "tokenizer.json", chunks: [await readSmall(tokenizer, TOKENIZER_LIMIT)] }];
}

/** How a run of so many steps is trained. Throws ShapeError. */
function settingsOf(options: TrainOptions, source: Source, steps: number): TrainSettings {
  return {
    pattern: options.attention,
    model: { ...modelOf(options), vocabulary: source.vocabulary },
    optimiser: optimiserOf(options),
    rate: options.rate[0]!,
    warmup: Math.min(options.warmup, Math.ceil(steps / 5)),
    floor: 0.1,
    steps,
    batch: options.batch,
    length: options.length,
    seed: options.seed,
    evaluateEvery: Math.max(1, Math.ceil(steps / 10)),
    heldOutBatches: 8,
    source: source.name,
  };
}

/** The steps that the FLOPs or minutes allow. Minutes are turned into steps when a run begins; going on keeps those. */
async function stepsWithin(
  options: TrainOptions,
  source: Source,
  device: Device,
  signal: AbortSignal,
): Promise<number> {
  const { minutes, out, batch, length, attention } = options;
  const first = settingsOf(options, source, 1);
  if (minutes === undefined) {
    const goal = { match: new Set<Matching>(), length, batch, budget: { flops: options.budget! } };
    return match([attention], first.model, goal)[0]!.steps;
  }
  const kept = out === undefined ? undefined : await plannedSteps(out);
  if (kept !== undefined) return kept;
  const { step, token } = await rehearse(first, source, device, { seconds: 2, signal });
  const seconds = 0.95 * (60 * minutes - wall()) - token * sampleTokens(length);
  return mostSteps(seconds, (steps) => step * trainWork(settingsOf(options, source, steps), steps));
}
