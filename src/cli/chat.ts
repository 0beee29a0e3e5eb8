import { createInterface, type Interface } from "node:readline/promises";
import type { Command } from "commander";
import { z } from "zod";
import { writeAtomic } from "../file/atomic.ts";
import { readSmall } from "../file/disk.ts";
import { readJson } from "../file/folder.ts";
import { type Conversation, conversation } from "../generate/chat.ts";
import type { LoadedModel } from "../generate/load.ts";
import type { TextSession } from "../generate/text.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { type Message, openTemplate } from "../tokenizer/template.ts";
import { endInterrupted, interruptible } from "./interrupt.ts";
import { keepOf, loadWatched, type ModelOptions, modelOptions, samplingOf } from "./model.ts";
import { show } from "./progress.ts";
import { loadedText, type Statistics, stopwatch } from "./statistics.ts";

interface ChatOptions extends ModelOptions {
  system?: string;
  template?: string;
  resume?: string;
}

const FILE_LIMIT = 16_000_000;
const kept = z.object({ messages: z.array(z.object({ role: z.string(), content: z.string() })) });

const help = `/reset        begin a new conversation
/save FILE    keep this conversation as JSON, for --resume
/help         what there is
/quit         end (so does the end of input); Ctrl-C ends the answer at work
//...         a message that begins with a slash`;

/** `biform chat`: a conversation in the terminal, or one message per line of standard input. */
export function chatCommand(command: Command): void {
  modelOptions(
    command
      .argument("<model>", "a checkpoint folder or GGUF file with a tokenizer and a chat template")
      .option("--system <text>", "what the model is told before the conversation")
      .option("--template <file>", "a Jinja chat template instead of the model's own")
      .option("--resume <file>", "go on with a conversation that /save kept"),
    1024,
  )
    .option("--json", "one JSON line per answer instead of its text")
    .addHelpText(
      "after",
      `
In the conversation:
${help.replace(/^/gm, "  ")}

Examples:
  biform chat models/tiny --system "Answer in one sentence."
  biform chat models/tiny --temperature 0 --context 8192 --cache q8
  printf 'Who are you?\\nSince when?\\n' | biform chat models/tiny --json

The cache is kept from turn to turn: only what is new is run.`,
    )
    .action(run);
}

async function run(path: string, options: ChatOptions): Promise<void> {
  const interrupt = interruptible();
  let loaded: LoadedModel | undefined;
  try {
    const resumed = options.resume === undefined ? undefined : await readJson(options.resume, FILE_LIMIT, kept);
    const own = options.template === undefined ? undefined : await readTemplate(options.template);
    const started = performance.now();
    loaded = await loadWatched(path, options, interrupt.signal);
    // From here on Ctrl-C is for one answer.
    interrupt.end();
    const { tokenizer } = loaded;
    if (!tokenizer) throw new FormatError(`${path}: got no tokenizer, expected one to chat; add its tokenizer.json`);
    const template = own === undefined ? loaded.template : openTemplate(options.template!, own, loaded.tokens);
    if (!template)
      throw new FormatError(
        `${path}: got no chat template, expected one in tokenizer_config.json; give --template FILE, or use biform run`,
      );
    const begin: Message[] = options.system === undefined ? [] : [{ role: "system", content: options.system }];
    const { cache, context, json } = options;
    const keep = keepOf(options);
    const text = loaded.session({ cache, keep, context });
    const talk = conversation(text, { tokenizer, template }, begin);
    if (resumed) talk.reset(resumed.messages);
    if (!json) process.stderr.write(`${loadedText(loaded, (performance.now() - started) / 1000)}\n`);
    try {
      await converse({ loaded, options, text, talk });
    } finally {
      text.free();
      template.close();
    }
  } catch (error) {
    endInterrupted(interrupt.signal, error);
  } finally {
    interrupt.end();
    loaded?.close();
  }
}

interface Chat {
  loaded: LoadedModel;
  options: ChatOptions;
  text: TextSession;
  talk: Conversation;
}

/** Line by line: commands, and messages with their answers. */
async function converse(chat: Chat): Promise<void> {
  const terminal = process.stdin.isTTY === true;
  // The prompt is no answer: it goes where standard output may be led elsewhere.
  const lines = createInterface({ input: process.stdin, ...(terminal ? { output: process.stderr, terminal } : {}) });
  lines.setPrompt("> ");
  if (terminal) process.stderr.write("/help says what there is; /quit ends\n");
  let turn = 0;
  try {
    if (terminal) lines.prompt();
    for await (const line of lines) {
      const command = /^\/(?!\/)(\S*)\s*(.*)$/.exec(line);
      if (command) {
        if (command[1] === "quit") return;
        await obey(chat, command[1]!, command[2]!.trim());
      } else if (line.trim() !== "") {
        const ended = await answer(chat, line.replace(/^\/\//, "/"), turn++, lines);
        if (ended === "interrupted" && !terminal) {
          process.exitCode = 130;
          return;
        }
      }
      if (terminal) lines.prompt();
    }
  } finally {
    lines.close();
  }
}

async function obey({ talk, loaded }: Chat, name: string, rest: string): Promise<void> {
  const say = (text: string) => process.stderr.write(`${text}\n`);
  if (name === "help") say(help);
  else if (name === "reset") {
    talk.reset();
    say("a new conversation");
  } else if (name === "save" && rest) {
    await reportErrors(undefined, async () => {
      const messages = { model: loaded.path, messages: talk.messages };
      await writeAtomic(rest, [`${JSON.stringify(messages, null, 1)}\n`]);
      say(`kept in ${rest}`);
    });
  } else say(name === "save" ? "/save: got no file, expected one: /save FILE" : `/${name}: no such command\n${help}`);
}

/** One answer, streamed. What goes wrong is said, and the conversation stays as it was. */
async function answer(
  { loaded, options, text, talk }: Chat,
  message: string,
  turn: number,
  lines: Interface,
): Promise<Statistics["finish"] | "failed"> {
  const { json, form, chunk, maxTokens, stop } = options;
  const sampling = samplingOf(options, loaded);
  const interrupt = interruptible();
  // A terminal in raw mode gives Ctrl-C to readline and not to the process.
  const pass = () => process.emit("SIGINT");
  lines.on("SIGINT", pass);
  const { signal } = interrupt;
  let ended: Statistics["finish"] | "failed" = "failed";
  try {
    await reportErrors(json, async () => {
      const watch = stopwatch(() => talk.prompt.tokens - talk.prompt.reused);
      const pieces: string[] = [];
      const steps = talk.say(message, {
        ...sampling,
        seed: (sampling.seed ?? 1) + turn,
        maxTokens,
        chunk,
        signal,
        stop,
        form,
        watch: watch.read,
      });
      for await (const step of steps) {
        watch.take(step);
        pieces.push(step.text);
        if (!json) show(step.text);
      }
      const found = watch.end(loaded, text, signal);
      ended = found.finish;
      if (json) {
        const { tokens: promptTokens, reused } = talk.prompt;
        console.log(JSON.stringify({ text: pieces.join(""), ...found, promptTokens, reused }));
      } else {
        process.stdout.write("\n");
        process.stderr.write(`${brief(found, talk, text)}\n`);
      }
    });
  } finally {
    lines.off("SIGINT", pass);
    interrupt.end();
  }
  return ended;
}

/** The figures of an answer in a line, and what to do where the context has ended it. */
function brief({ tokens, tokensPerSecond, finish }: Statistics, { prompt }: Conversation, session: TextSession) {
  const { decode } = tokensPerSecond;
  const rate = decode === null ? "" : `, ${decode.toFixed(1)} tokens/s`;
  const ended = { end: "", stop: "", length: "; cut at --max-tokens", interrupted: "; interrupted" };
  const why =
    finish === "context" ? "; the context is full: /reset begins anew, --context N makes it larger" : ended[finish];
  return `(${tokens} tokens${rate}; prompt ${prompt.tokens}, ${prompt.reused} of it kept; context ${session.length} of ${session.context}${why})`;
}

/** Runs it; a user's mistake is told in a line and ends nothing, but the exit code remembers it. */
async function reportErrors(json: true | undefined, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof ShapeError || error instanceof FormatError) || error.message.startsWith("internal:"))
      throw error;
    if (json) console.log(JSON.stringify({ error: error.message }));
    else process.stderr.write(`biform: ${error.message}\n`);
    if (!process.stdin.isTTY) process.exitCode = 1;
  }
}

async function readTemplate(path: string): Promise<string> {
  return new TextDecoder().decode(await readSmall(path, FILE_LIMIT));
}
