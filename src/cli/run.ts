import { buffer as bytesOf } from "node:stream/consumers";
import type { Command } from "commander";
import { readSmall, writeSafetensors } from "../file/disk.ts";
import type { LoadedModel } from "../generate/load.ts";
import type { TextSession } from "../generate/text.ts";
import { forwardFlops } from "../model/model.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { endInterrupted, interruptible } from "./interrupt.ts";
import { keepOf, loadWatched, type ModelOptions, modelOptions, samplingOf } from "./model.ts";
import { patient, show } from "./progress.ts";
import { formsText, loadedText, statisticsText, stopwatch } from "./statistics.ts";
import { versions } from "./version.ts";

interface RunOptions extends ModelOptions {
  prompt?: string;
  promptFile?: string;
  tokens?: string;
  logits?: string;
  stream?: true;
  save?: string;
  resume?: string;
}

const PROMPT_LIMIT = 100_000_000;

/** `biform run`: a prompt continued by a model. */
export function runCommand(command: Command): void {
  modelOptions(
    command
      .argument("<model>", "a checkpoint folder (config.json, safetensors, tokenizer.json) or a GGUF file")
      .option("--prompt <text>", "the text to continue; - reads standard input")
      .option("--prompt-file <file>", "a file with the text to continue, without its last line break")
      .option("--tokens <ids>", "token ids instead of text, such as 1,2,3; writes ids")
      .option("--logits <file>", "write the prompt's logits [tokens, vocabulary] as safetensors, and no text"),
    256,
  )
    .option("--save <file>", "keep the session, prompt and text, to go on from")
    .option("--resume <file>", "go on from a kept session; a prompt is then what comes next, or may be left out")
    .option("--json", "print one JSON object at the end: text, ids, times, memory, form")
    .option("--stream", "with --json: one JSON line per token before it")
    .addHelpText(
      "after",
      `
Examples:
  biform run models/tiny --prompt "Once upon a time"
  biform run models/tiny --prompt-file story.txt --temperature 0 --max-tokens 100 --stop "The end"
  echo "Question: 2 + 2 ? Answer:" | biform run models/tiny --prompt - --top-k 40 --min-p 0.05 --seed 7
  biform run models/tiny --tokens 1,2,3 --logits logits.safetensors --form absorbed
  biform run models/tiny --prompt-file book.txt --max-tokens 0 --save book.session
  biform run models/tiny --resume book.session --prompt "Who did it?"
  biform run models/tiny --prompt "Hello" --json | jq .tokensPerSecond

Text gets the begin token that the tokenizer puts in front; where the prompt has one too it stands twice, and a note says so.
Ctrl-C ends the text and prints the figures; a second one ends at once.`,
    )
    .action(run);
}

async function run(path: string, options: RunOptions): Promise<void> {
  const given = (["prompt", "promptFile", "tokens"] as const).filter((name) => options[name] !== undefined);
  if (given.length > 1 || (given.length === 0 && options.resume === undefined))
    throw new ShapeError(
      `run: got ${given.length ? "several prompts" : "no prompt"}, expected one of --prompt, --prompt-file and --tokens`,
    );
  const prompt = await promptOf(options);
  const interrupt = interruptible();
  const started = performance.now();
  let loaded: LoadedModel | undefined;
  try {
    loaded = await loadWatched(path, options, interrupt.signal);
    const load = (performance.now() - started) / 1000;
    if (!options.json) process.stderr.write(`${loadedText(loaded, load)}\n`);
    if (typeof prompt === "string" && !loaded.tokenizer)
      throw new FormatError(
        `${path}: got no tokenizer, expected one for text; add its tokenizer.json, or give --tokens`,
      );
    await (options.logits === undefined ? write : writeLogits)({
      loaded,
      prompt,
      options,
      load,
      signal: interrupt.signal,
    });
    if (interrupt.signal.aborted) process.exitCode = 130;
  } catch (error) {
    endInterrupted(interrupt.signal, error);
  } finally {
    interrupt.end();
    loaded?.close();
  }
}

interface Job {
  loaded: LoadedModel;
  /** None where a session goes on from its own last token. */
  prompt: string | Int32Array | undefined;
  options: RunOptions;
  /** Seconds it took to load. */
  load: number;
  signal: AbortSignal;
}

/** A session with room for prompt and answer, within the context, and the ids to run in it. */
async function sessionFor(
  { loaded, prompt, options }: Job,
  answer: number,
): Promise<{ session: TextSession; ids: Int32Array }> {
  const { cache, context, resume } = options;
  const keep = keepOf(options);
  const { tokenizer, context: made } = loaded;
  if (context !== undefined && made !== undefined && context > made)
    process.stderr.write(`note: --context ${context} is more than the ${made} tokens that the model was made for\n`);
  if (resume !== undefined) {
    const session = await loaded.resume(resume, { cache, keep, context });
    if (prompt !== undefined) return { session, ids: session.ids(prompt) };
    // The last token is run again, since the file has no logits of what follows it.
    const last = session.tokens.slice(-1);
    session.rewind(Math.max(0, session.length - 1));
    return { session, ids: last };
  }
  const ids = typeof prompt === "string" ? tokenizer!.prompt(prompt) : prompt!;
  if (typeof prompt === "string") noteTwice(tokenizer!, ids);
  // Memory is asked for what is needed, not for all that the model could hold.
  const most = Math.min(ids.length + answer, context ?? made ?? Number.POSITIVE_INFINITY);
  return { session: loaded.session({ cache, keep, context: Math.max(1, most) }), ids };
}

/** Says where the begin token that the tokenizer adds stands before one that was typed: models have hardly ever seen two. */
function noteTwice(tokenizer: Tokenizer, ids: Int32Array): void {
  const [added] = tokenizer.prompt("");
  if (added === undefined || ids[0] !== added || ids[1] !== added) return;
  const token = JSON.stringify(tokenizer.decode([added]));
  process.stderr.write(
    `note: the prompt begins with ${token}, which the tokenizer adds itself: it stands twice; leave it out of the prompt\n`,
  );
}

async function write(job: Job): Promise<void> {
  const { loaded, options, load, signal } = job;
  const { json, stream, form, chunk, maxTokens, stop } = options;
  const sampling = samplingOf(options, loaded);
  const { session, ids } = await sessionFor(job, maxTokens);
  const written: number[] = [];
  const pieces: string[] = [];
  const reading = displayReading(loaded, session, ids);
  const watch = stopwatch(() => ids.length);
  try {
    const steps = session.generate(ids, {
      ...sampling,
      maxTokens,
      chunk,
      signal,
      stop,
      form,
      watch(done, total) {
        reading.update(done);
        watch.read(done, total);
      },
    });
    for await (const step of steps) {
      if (written.length === 0) await reading.finish();
      watch.take(step);
      written.push(step.id);
      pieces.push(step.text);
      if (json) {
        if (stream) console.log(JSON.stringify(step));
      } else if (options.tokens === undefined) show(step.text);
      // A prompt that was given as ids is answered in ids.
      else process.stdout.write(`${written.length > 1 ? "," : ""}${step.id}`);
    }
    // On a terminal the figures begin on a line of their own; text that goes elsewhere stays as it was written.
    if (!json && (process.stdout.isTTY || options.tokens !== undefined)) process.stdout.write("\n");
    const found = watch.end(loaded, session, signal);
    if (options.save !== undefined) await keepSession(session, written.at(-1), options.save);
    if (json) {
      const { seconds, ...rest } = found;
      const answer = { text: pieces.join(""), ids: written, ...rest, seconds: { load, ...seconds } };
      console.log(JSON.stringify({ ...about(job), ...answer, sampling }));
    } else process.stderr.write(`${statisticsText(found)}\n`);
  } finally {
    await reading.finish();
    session.free();
  }
}

/** Shows how far a prompt is read. What comes later has more before it, so that not tokens are counted but FLOPs. */
function displayReading({ model }: LoadedModel, { length }: TextSession, ids: Int32Array) {
  const work = (tokens: number) => forwardFlops(model, tokens, length);
  const display = patient({ title: `reading ${ids.length} tokens`, total: work(ids.length) });
  return {
    update: (tokens: number) => display.update({ done: work(tokens), label: "" }),
    finish: () => display.finish(),
  };
}

/** Saves a session, the last token written included. */
async function keepSession(session: TextSession, last: number | undefined, path: string): Promise<void> {
  const { length, context } = session;
  if (last !== undefined && length < context) session.append([last], { logits: "last" }).free();
  await session.save(path);
}

/** What a result says of where it comes from. */
function about({ loaded: { path, config, device }, options: { cache } }: Job) {
  return {
    model: path,
    type: config.model_type,
    device: device.kind,
    threads: device.threads,
    cache,
    versions: versions(),
  };
}

async function writeLogits(job: Job): Promise<void> {
  const { loaded, options, signal } = job;
  const { session, ids } = await sessionFor(job, 0);
  const { form, chunk, json, logits: file } = options;
  const reading = displayReading(loaded, session, ids);
  const watch = stopwatch(() => ids.length);
  try {
    const data = await session.logits(ids, {
      chunk,
      signal,
      form,
      watch(done, total) {
        reading.update(done);
        watch.read(done, total);
      },
    });
    await reading.finish();
    if (!data) return;
    const shape = [ids.length, loaded.model.vocabulary];
    await writeSafetensors(file!, [{ name: "logits", shape, data }]);
    const found = watch.end(loaded, session, signal);
    if (json)
      console.log(JSON.stringify({ ...about(job), logits: file, shape, forms: found.forms, bytes: found.bytes }));
    else process.stderr.write(`logits [${shape.join(", ")}] in form ${formsText(found.forms)}: ${file}\n`);
  } finally {
    await reading.finish();
    session.free();
  }
}

/** The prompt as it was given; standard input and files without their last line break, which editors add. */
async function promptOf({ prompt, promptFile, tokens }: RunOptions): Promise<string | Int32Array | undefined> {
  if (tokens !== undefined) {
    const ids = tokens.split(",").map((id) => (/^\s*\d+\s*$/.test(id) ? Number(id) : Number.NaN));
    if (!ids.every((id) => id < 2 ** 31))
      throw new ShapeError(`--tokens: got "${tokens.slice(0, 60)}", expected whole numbers with commas, such as 1,2,3`);
    return Int32Array.from(ids);
  }
  if (promptFile !== undefined) return decode(promptFile, await readSmall(promptFile, PROMPT_LIMIT));
  return prompt === "-" ? decode("standard input", await bytesOf(process.stdin)) : prompt;
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch (error) {
    throw new FormatError(`${name}: got bytes that are no UTF-8, expected text; convert it`, { cause: error });
  }
}
