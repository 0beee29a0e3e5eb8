import { setFlagsFromString } from "node:v8";
import { type Command, InvalidArgumentError, Option } from "commander";
import { PREFILL_CHUNK } from "../cost/host.ts";
import type { DeviceName } from "../device/open.ts";
import type { Keep } from "../generate/forms.ts";
import { type LoadedModel, load } from "../generate/load.ts";
import { checkSampling, type Sampling } from "../generate/sampling.ts";
import { formsOf } from "../model/model.ts";
import { ShapeError } from "../tensor/error.ts";
import type { CacheType } from "../tensor/page.ts";
import { deviceOption, wholeOption } from "./option.ts";
import { patient } from "./progress.ts";

/** Options that `run` and `chat` share, as the command line gives them. */
export interface ModelOptions extends Sampling {
  stop?: string[];
  maxTokens: number;
  context?: number;
  cache: CacheType;
  form?: string;
  keep?: Keep;
  chunk: number;
  threads?: number;
  device: DeviceName;
  json?: true;
}

/** What draws tokens where neither the command line nor the model's generation_config.json says. */
const usual: Sampling = { temperature: 0.8, topP: 0.95, seed: 1 };

/** Adds the shared options to a command. */
export function modelOptions(command: Command, most: number): Command {
  return command
    .option("--max-tokens <n>", "most tokens to write", wholeOption("--max-tokens", 0), most)
    .option("--temperature <x>", "0 takes the likeliest token (default: the model's own, or 0.8)", number)
    .option("--top-k <n>", "only the n likeliest tokens; 0: all", number)
    .option("--top-p <x>", "only the likeliest tokens of this probability together (0.95)", number)
    .option("--min-p <x>", "only tokens of this share of the likeliest one's probability", number)
    .option("--repetition-penalty <x>", "divides the logits of tokens seen; 1: none", number)
    .option("--penalty-window <n>", "how many of the last tokens count as seen; 0: all", number)
    .option("--seed <n>", "the same seed writes the same text (1)", number)
    .option("--stop <text>", "end before this text; may be given several times", (text, all: string[] = []) => [
      ...all,
      text,
    ])
    .option("--context <n>", "tokens of prompt and answer together (default: the model's)", wholeOption("--context"))
    .addOption(new Option("--cache <type>", "numbers of the cache").choices(["f32", "bf16", "q8"]).default("f32"))
    .option("--form <name>", "force one form of attention, such as expanded or absorbed (default: the faster)")
    .addOption(
      new Option(
        "--keep <what>",
        "the cache of latents (declared), or of the keys and values that they unfold to, where that decodes faster and fits, or in all layers (default: faster; declared with --form, --save or --resume)",
      ).choices(["declared", "faster", "unfolded"]),
    )
    .option("--chunk <n>", "tokens of the prompt run at a time", wholeOption("--chunk"), PREFILL_CHUNK)
    .option("--threads <n>", "threads (default: up to all cores, as many as are the fastest)", wholeOption("--threads"))
    .addOption(deviceOption("wasm", "webgpu", "reference"));
}

/** What the cache holds unless --keep says: what the variant declares where a form is forced or a session kept, which must not hang on the length. */
export function keepOf({ keep, form, save, resume }: ModelOptions & { save?: string; resume?: string }): Keep {
  return keep ?? (form !== undefined || save !== undefined || resume !== undefined ? "declared" : "faster");
}

function number(text: string): number {
  const x = Number(text);
  if (text.trim() === "" || Number.isNaN(x)) throw new InvalidArgumentError("expected a number.");
  return x;
}

/** Loads a model; what takes over two seconds shows how far it is. Throws as `load`, and ShapeError for a form it has not. */
export async function loadWatched(path: string, options: ModelOptions, signal: AbortSignal): Promise<LoadedModel> {
  // Shares of a million: how many numbers there are is known only later.
  const display = patient({ title: `loading ${path}`, total: 1e6 });
  const { device, threads, form } = options;
  let loaded: LoadedModel;
  try {
    loaded = await load(path, {
      device,
      threads,
      signal,
      warn: (line) => process.stderr.write(`note: ${line}\n`),
      watch: (done, total) => display.update({ done: (1e6 * done) / total, label: "" }),
    });
  } finally {
    await display.finish();
  }
  // What reading a file has left behind would stay beside all that comes, as would the code that read it.
  if (globalThis.gc) {
    setFlagsFromString("--stress-flush-code");
    globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" });
    setFlagsFromString("--no-stress-flush-code");
  }
  const forms = formsOf(loaded.model);
  if (form && !forms.includes(form)) {
    loaded.close();
    throw new ShapeError(`--form: got "${form}", expected ${forms.join(" or ")}; ${path} has no other`);
  }
  return loaded;
}

/** How tokens are drawn: by the command line, else by the model's own defaults, else as usual. Throws ShapeError. */
export function samplingOf(options: ModelOptions, { sampling }: LoadedModel): Sampling {
  const { temperature, topK, topP, minP, repetitionPenalty, penaltyWindow, seed } = options;
  const given = { temperature, topK, topP, minP, repetitionPenalty, penaltyWindow, seed };
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const chosen = { ...usual, ...sampling, ...said };
  checkSampling(chosen);
  return chosen;
}
