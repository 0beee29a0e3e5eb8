import { type Command, Option } from "commander";
import { goals } from "../heal/goal.ts";
import { type Healed, type HealOptions, heal } from "../heal/heal.ts";
import { parts } from "../heal/student.ts";
import { FormatError } from "../tensor/error.ts";
import { positiveOption, wholeOption } from "./option.ts";
import { versions } from "./version.ts";
import { underWatch } from "./watch.ts";

interface Options extends Omit<HealOptions, "student" | "texts" | "part" | "evaluations" | "heldOutBatches"> {
  text: string[];
  train: (typeof parts)[number];
  heldOut: number;
  evaluations: number;
  json?: true;
}

const help = `
--goal layers trains each layer's attention towards what the original's adds, given the same inputs: no gradient goes through other
layers, so it is the cheapest per token. logits trains towards the original's distribution of the next token, text towards the token.
--out appears when all steps are taken; until then the run is kept in --state. Ctrl-C stops after the step at work, and the same
command goes on, with the same weights bit for bit as if it had not been stopped.

Examples:
  biform heal small/ --teacher llama/ --text book.txt --out healed --minutes 60
  biform heal healed/ --teacher llama/ --text book.txt --out better --goal logits --minutes 60
  biform heal small/ --teacher llama/ --text book.txt --out healed --goal logits --train all --steps 200 --rate 0.0001 --json`;

/** `biform heal`: a converted model is trained on beside its original. */
export function healCommand(command: Command): void {
  command
    .argument("<model>", "the converted folder")
    .requiredOption("--teacher <model>", "what it was converted from: a folder or a GGUF file")
    .requiredOption("--text <file...>", "text to learn from; the last tenth is held out")
    .requiredOption("--out <dir>", "the folder to write")
    .addOption(new Option("--goal <name>", "what it is trained towards").choices(goals).default("layers"))
    .addOption(new Option("--train <part>", "what is trained").choices(parts).default("attention"))
    .option("--steps <n>", "budget: training steps", wholeOption("--steps"))
    .option("--minutes <n>", "budget: minutes, measured beforehand (default 60)", positiveOption("--minutes"))
    .option("--batch <n>", "rows per step", wholeOption("--batch"), 4)
    .option("--length <n>", "tokens per row", wholeOption("--length", 2), 256)
    .option("--rate <x>", "peak learning rate (default 0.0002 for layers, 0.0001 else)", positiveOption("--rate"))
    .option("--seed <n>", "seed of the batches", wholeOption("--seed", 0), 1)
    .option("--held-out <n>", "batches per held-out evaluation", wholeOption("--held-out"), 4)
    .option("--evaluations <n>", "held-out evaluations", wholeOption("--evaluations"), 5)
    .option("--state <dir>", "where an interrupted run is kept (default: beside --out)")
    .option("--save-every <n>", "steps between what is saved", wholeOption("--save-every"), 50)
    .option("--threads <n>", "threads", wholeOption("--threads"))
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(run);
}

/** Peak learning rates by goal. */
const rates = { layers: 2e-4, logits: 1e-4, text: 1e-4 } as const;

async function run(student: string, options: Options): Promise<void> {
  const { text: texts, train: part, heldOut: heldOutBatches, json, ...rest } = options;
  if (options.steps !== undefined && options.minutes !== undefined)
    throw new FormatError("budget: got --steps and --minutes, expected one of them");
  const minutes = options.steps === undefined ? (options.minutes ?? 60) : undefined;
  const rate = options.rate ?? rates[options.goal];
  const title = `${student} towards ${options.goal === "text" ? "text" : options.teacher}`;
  await underWatch({ title, total: 1 }, async (display, signal) => {
    const healed = await heal(
      { ...rest, student, texts, part, heldOutBatches, minutes, rate },
      {
        signal,
        onPrepare: (label) => display.update({ done: 0, label }),
        onStep({ step }, steps, loss) {
          display.update({ done: step / steps, label: `${options.goal}`, detail: `step ${step} of ${steps}`, loss });
        },
      },
    );
    await display.finish(healed.complete ? undefined : "interrupted; run the same command to go on");
    if (json) console.log(JSON.stringify({ student, out: options.out, ...healed, versions: versions() }));
    else print(healed, options.out);
    if (!healed.complete) process.exitCode = 130;
  });
}

function print({ original, before, heldOut, tokensPerStep, complete }: Healed, out: string): void {
  const show = (loss: number | null) =>
    loss === null ? "diverged" : `${loss.toFixed(4)} (perplexity ${Math.exp(loss).toFixed(2)})`;
  console.log(`Held-out loss of the next token, nats: the original ${show(original)}; as converted ${show(before)}.`);
  for (const [i, step] of heldOut.steps.entries())
    console.log(`  after ${step * tokensPerStep} tokens ${show(heldOut.losses[i]!)}`);
  if (complete) console.log(`${out}: written; its README.md has these figures.`);
}
