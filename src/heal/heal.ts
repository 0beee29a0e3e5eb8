import { rm } from "node:fs/promises";
import { join } from "node:path";
import { filesAlong } from "../convert/beside.ts";
import type { Source } from "../data/source.ts";
import { openText } from "../data/text.ts";
import { openDevice } from "../device/open.ts";
import { type FolderFile, writeFolder } from "../file/atomic.ts";
import { readSmall } from "../file/disk.ts";
import { safetensorsChunks } from "../file/safetensors.ts";
import { type LoadedModel, load } from "../generate/load.ts";
import { FormatError } from "../tensor/error.ts";
import { type Device, scope } from "../tensor/tensor.ts";
import { plannedSteps } from "../train/checkpoint.ts";
import { type Course, type CourseSettings, type Curve, follow, type Progress } from "../train/course.ts";
import { Optimiser, optimiserDefaults } from "../train/optimiser.ts";
import { heldOutLoss } from "../train/step.ts";
import { branchSizes, checkGoal, type Goal, type Stride, strideTo } from "./goal.ts";
import { healedTensors, openStudent, type parts, type Student } from "./student.ts";

/** What is healed, towards what, and how. */
export interface HealOptions {
  /** The converted folder, and the checkpoint that it came from. */
  readonly student: string;
  readonly teacher: string;
  readonly texts: readonly string[];
  readonly out: string;
  /** Where an interrupted run is kept; beside `out` unless given. */
  readonly state?: string | undefined;
  readonly goal: Goal;
  readonly part: (typeof parts)[number];
  /** One of the two: steps, or minutes for all of them, which steps are then chosen by. */
  readonly steps?: number | undefined;
  readonly minutes?: number | undefined;
  readonly batch: number;
  readonly length: number;
  readonly rate: number;
  readonly seed: number;
  /** Held-out losses on the way, and batches of each. */
  readonly evaluations: number;
  readonly heldOutBatches: number;
  /** Steps between what is saved. */
  readonly saveEvery: number;
  readonly threads?: number | undefined;
}

/** How a healing went. */
export interface Healed {
  readonly goal: Goal;
  readonly part: (typeof parts)[number];
  readonly steps: number;
  /** Tokens of a step. */
  readonly tokensPerStep: number;
  /** Held-out loss of the next token in nats: the original's, the converted model's as it came, and after steps. */
  readonly original: number;
  readonly before: number;
  readonly heldOut: Curve;
  /** Losses of the goal, step by step. */
  readonly training: Curve;
  readonly seconds: number;
  /** Whether all steps were taken, and `out` is written; else the same call goes on. */
  readonly complete: boolean;
}

/** What a caller may hear of a run. */
export interface HealHooks {
  readonly signal?: AbortSignal;
  /** What is done before the first step. */
  readonly onPrepare?: (what: string) => void;
  readonly onStep?: (progress: Progress, steps: number, loss?: number) => void;
}

/**
 * Trains a converted model towards its original, and writes it as a folder of the same kind. Equal options give equal weights, bit
 * for bit, on any number of threads, interrupted or not.
 *
 * Errors: FormatError for models that do not belong together, text that is too short or a state of other settings; DeviceError where
 * memory or disk ends; one of the weights' own if the run diverges.
 */
export async function heal(options: HealOptions, hooks: HealHooks = {}): Promise<Healed> {
  const { goal, part, out, batch: count, length, heldOutBatches: batches } = options;
  const state = options.state ?? `${out}.healing`;
  const device = await openDevice("wasm", options.threads);
  let student: Student | undefined;
  let teacher: LoadedModel | undefined;
  try {
    hooks.onPrepare?.("opening");
    student = await openStudent(options.student, device, part);
    teacher = await load(options.teacher, { device });
    checkGoal(goal, part, teacher.model, student.model);
    const source = await textFor(student.loaded, options);
    const asked = { batches, count, length };
    hooks.onPrepare?.("the original's held-out loss");
    const original = await heldOutLoss(teacher.model, teacher.weights, source, asked);
    hooks.onPrepare?.("the converted model's held-out loss");
    const before = await heldOutLoss(student.model, student.weights, source, asked);
    const sizes = goal === "layers" ? await branchSizes(teacher, source.batch(0, count, length)) : [];
    const course = courseOf(student, strideTo(goal, teacher, student, student.parameters, sizes), source, options);
    hooks.onPrepare?.("a few steps, for the time that they take");
    const steps = options.steps ?? (await plannedSteps(state)) ?? (await stepsWithin(course, source, device, options));
    const settings = settingsOf(options, source, steps);
    const { signal, onStep } = hooks;
    const result = await follow(settings, course, source, device, {
      signal,
      checkpoint: { dir: state, every: options.saveEvery },
      onStart: (progress) => onStep?.(progress, steps),
      onStep: (progress, loss) => onStep?.(progress, steps, loss),
    });
    if (result.complete && result.loss === null)
      throw new FormatError(
        `${options.student}: got a loss that is no number at step ${result.step}, expected one that falls; use a smaller --rate than ${options.rate}`,
      );
    const healed: Healed = {
      goal,
      part,
      steps,
      tokensPerStep: count * length,
      original,
      before,
      heldOut: result.heldOut,
      training: result.training,
      seconds: result.seconds,
      complete: result.complete,
    };
    if (result.complete) {
      await write(options, student, healed);
      await rm(state, { recursive: true, force: true });
    }
    return healed;
  } finally {
    teacher?.close();
    student?.close();
    device.close();
  }
}

async function textFor({ path, tokenizer }: LoadedModel, { texts, seed, length }: HealOptions): Promise<Source> {
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  return openText(texts, { seed, length, tokenizer });
}

function courseOf(
  { model, weights, parameters }: Student,
  stride: Stride,
  source: Source,
  { heldOutBatches: batches, batch: count, length }: HealOptions,
): Course {
  const { device } = weights.get("norm")!;
  return {
    weights,
    parameters,
    async step(batch, optimiser, rate) {
      const value = scope(device, () => {
        const found = stride(batch);
        optimiser.step(weights, found.gradients, rate);
        return found.value;
      });
      const [loss = Number.NaN] = await value.read();
      value.free();
      return loss;
    },
    heldOut: () => heldOutLoss(model, weights, source, { batches, count, length }),
  };
}

/** What decides a run, under the names by which a state of another is told. */
function settingsOf(options: HealOptions, source: Source, steps: number): CourseSettings & Record<string, unknown> {
  const { goal, part, student, teacher, batch, length, rate, seed, heldOutBatches, evaluations } = options;
  return {
    student,
    teacher,
    goal,
    part,
    // What a conversion has found is not to be drawn towards zero.
    optimiser: { ...optimiserDefaults, decay: 0 },
    rate,
    warmup: Math.ceil(steps / 10),
    floor: 0.05,
    steps,
    batch,
    length,
    seed,
    evaluateEvery: Math.max(1, Math.ceil(steps / evaluations)),
    heldOutBatches,
    source: source.name,
  };
}

/** As many steps as the minutes allow: two are tried at a rate of 0, which changes no weight by a bit. */
async function stepsWithin(course: Course, source: Source, device: Device, options: HealOptions): Promise<number> {
  const { minutes, batch, length, evaluations } = options;
  if (minutes === undefined) throw new FormatError("budget: got neither steps nor minutes, expected one of them");
  const optimiser = new Optimiser(device, course.parameters, { ...optimiserDefaults, decay: 0 });
  const timed = async (run: () => Promise<unknown>) => {
    const start = performance.now();
    await run();
    return (performance.now() - start) / 1000;
  };
  const step = () => course.step(source.batch(0, batch, length), optimiser, 0);
  await step();
  const seconds = await timed(step);
  optimiser.free();
  const evaluation = await timed(() => course.heldOut());
  return Math.max(1, Math.floor((60 * minutes - evaluations * evaluation) / seconds));
}

async function write({ student: path, out }: HealOptions, student: Student, healed: Healed): Promise<void> {
  const { opened } = student;
  const read = (name: string) => readSmall(join(path, name), 4_000_000).catch(() => new Uint8Array());
  const card = new TextDecoder().decode(await read("README.md"));
  const json = (value: unknown) => `${JSON.stringify(value, null, 1)}\n`;
  const files: FolderFile[] = [
    { name: "config.json", chunks: [json(opened.config)] },
    ...(await filesAlong(path, opened)),
    { name: "README.md", chunks: [`${card}${healedText(healed)}`] },
    { name: "healing.json", chunks: [json(healed)] },
    {
      name: "model.safetensors",
      chunks: safetensorsChunks("model.safetensors", healedTensors(student), { format: "pt" }),
    },
  ];
  await writeFolder(out, files);
}

const towards = {
  layers: "what the original's layers add, each layer for itself",
  logits: "the original's distributions of the next token",
  text: "the next token of text",
} as const;

/** What a card says of a healing. */
export function healedText({ goal, part, steps, tokensPerStep, original, before, heldOut }: Healed): string {
  const loss = (x: number | null) => (x === null ? "–" : `${x.toFixed(4)} (perplexity ${Math.exp(x).toFixed(2)})`);
  const rows = heldOut.steps.map((step, i) => `| ${step * tokensPerStep} | ${loss(heldOut.losses[i]!)} |`);
  return `
## Healed

Trained by \`biform heal\` towards ${towards[goal]}, ${part === "all" ? "all weights" : "its attention alone"}: ${steps * tokensPerStep} tokens. Held-out loss in nats per token; the original's is ${loss(original)}.

| tokens | held-out loss |
| --- | --- |
| 0 | ${loss(before)} |
${rows.join("\n")}
`;
}
