import { DeviceError, FormatError } from "../tensor/error.ts";
import { Worker } from "../tensor/node.ts";
import { writeExact } from "./jinja/exact.ts";
import type { Job, Outcome } from "./job.ts";
import { awaitMessage, startBounded } from "./thread.ts";

/** One message of a conversation. */
export interface Message {
  readonly role: string;
  /** None where a message is made of calls alone. */
  readonly content: string | null;
  /** What else templates read, such as tool_calls. */
  readonly [key: string]: unknown;
}

/** What a conversation is written with. */
export interface RenderOptions {
  /** Whether the text goes on to where the model's own words begin, as unless given: `add_generation_prompt`. */
  readonly reply?: "begin" | "none" | undefined;
  /** Tools that the model may call, as templates read them: not given they are not defined, with null they are none. */
  readonly tools?: readonly unknown[] | null | undefined;
  /** Texts to answer from, as `tools`. */
  readonly documents?: readonly unknown[] | null | undefined;
  /** What else a template may read, such as enable_thinking. */
  readonly values?: Readonly<Record<string, unknown>> | undefined;
  /** The local time that `strftime_now` tells, now unless given. */
  readonly date?: Date | undefined;
}

/** How a model wants its conversations written. */
export interface Template {
  /** The template itself; undefined where it cannot be used. */
  readonly source: string | undefined;
  /**
   * The text of a conversation, as Jinja2 3.1 writes it with what transformers adds to it; `applyTemplate` also does to messages what
   * transformers does. Messages and values are data as JSON has it; numbers that JSON wrote as 1.0 stay floats where `parseExact`
   * read them.
   *
   * Errors: FormatError naming the template for one that fails, refuses the messages, or takes more time, memory or text than allowed;
   * DeviceError where the machine gives it no time to work in.
   */
  render(messages: readonly Message[], options?: RenderOptions): Promise<string>;
  close(): void;
}

/** Larger than any template in use (some tens of kilobytes). */
const TEMPLATE_LIMIT = 1_000_000;
/** Seconds of work of a thread's beginning, seconds that this or a rendering may last, and megabytes of memory. */
const START_LIMIT = 10;
const PATIENCE = 60;
const MEMORY_LIMIT = 256;

/**
 * The template of a tokenizer_config.json's `chat_template`: text, or a list of them with names, of which `name` is taken.
 * Undefined where there is none. Throws FormatError.
 */
export function chooseTemplate(file: string, value: unknown, name = "default"): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  const list: unknown[] = Array.isArray(value) ? value : [];
  const texts = new Map<unknown, string>();
  for (const item of list) {
    const { name: own, template } = (item ?? {}) as { name?: unknown; template?: unknown };
    if (typeof template === "string") texts.set(own, template);
  }
  const found = texts.get(name);
  if (found === undefined)
    throw new FormatError(
      `${file}: chat_template: got ${list.length ? `templates named ${[...texts.keys()].join(", ").slice(0, 100) || "nothing"}` : typeof value}, ` +
        `expected text, or a list with one named ${name}; correct the file`,
    );
  return found;
}

/**
 * A Jinja template. It is a program from a stranger: it runs in a thread of its own that has its memory and time limited and sees
 * nothing but the messages and `tokens` (bos_token and the like). A rendering may take so many seconds of work, 5 unless given.
 *
 * Errors: FormatError for a template that is too long; what is wrong in it shows on the first rendering.
 */
export function openTemplate(
  file: string,
  text: string,
  tokens: Readonly<Record<string, string>> = {},
  { seconds = 5 }: { readonly seconds?: number | undefined } = {},
): Template {
  const subject = `${file}: chat template`;
  if (text.length > TEMPLATE_LIMIT)
    throw new FormatError(`${subject}: got ${text.length} characters, expected at most ${TEMPLATE_LIMIT}`);
  let thread: Promise<Thread> | undefined;
  const close = () => {
    void thread?.then(
      ({ stop }) => stop(),
      () => {},
    );
    thread = undefined;
  };
  const run = async (job: Job): Promise<Outcome> => {
    if (!thread) {
      const own = openThread(seconds);
      thread = own;
      // One that ends while nobody waits for it would never answer again.
      const forget = () => {
        if (thread === own) thread = undefined;
      };
      own.then(({ ended }) => ended).then(forget, forget);
    }
    try {
      return await (await thread).run(job);
    } catch (error) {
      // A thread that was cut short is of no further use.
      close();
      if (error instanceof DeviceError) throw error;
      throw new FormatError(`${subject}: got ${(error as Error).message}, expected a text; use another template`, {
        cause: error,
      });
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    source: text,
    async render(messages, { reply = "begin", tools, documents, values, date = new Date() } = {}) {
      const all = { ...tokens, ...values, messages, tools, documents, add_generation_prompt: reply === "begin" };
      const job = { text, values: writeValues(subject, all), time: date.getTime() };
      // The thread says nothing but texts: one conversation at a time, or another's text would be taken for this one's.
      const turn = last.then(() => run(job));
      last = turn.catch(() => {});
      const outcome = await turn;
      if ("text" in outcome) return outcome.text;
      // What a template raises itself comes this way too, such as that roles must take turns.
      throw new FormatError(
        `${subject}: got "${outcome.error.slice(0, 500)}", expected text; change the messages, or the template`,
      );
    },
    close,
  };
}

/** Values as JSON that keeps the kinds of numbers: what crosses to a thread as objects would lose them. */
function writeValues(subject: string, values: object): string {
  try {
    return writeExact(values);
  } catch (error) {
    throw new FormatError(`${subject}: got values that are no JSON, expected it: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A template that cannot be used: whoever asks it for a text gets the error that says why. */
export function refusedTemplate(error: FormatError): Template {
  return { source: undefined, render: () => Promise.reject(error), close() {} };
}

interface Thread {
  run(job: Job): Promise<Outcome>;
  /** Comes when it has ended, by whatever. */
  readonly ended: Promise<void>;
  stop(): void;
}

async function openThread(seconds: number): Promise<Thread> {
  // A page runs a model in a worker of its own, which is ended where it does not answer. Elsewhere only the thread knows the language.
  if (!Worker) {
    const { renderer } = await import("./job.ts");
    const render = renderer();
    return { ended: new Promise(() => {}), run: async (job) => render(job), stop() {} };
  }
  const worker = await startBounded("./render", import.meta.url, { memory: MEMORY_LIMIT, stack: 4 });
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  try {
    await awaitMessage(worker, { seconds: START_LIMIT, patience: PATIENCE, missing: "no thread" });
  } catch (error) {
    // Nobody else knows of it.
    void worker.terminate();
    throw error;
  }
  return {
    ended,
    run: (job) =>
      awaitMessage(worker, { seconds, patience: PATIENCE, missing: "no text" }, () => worker.postMessage(job)),
    stop: () => void worker.terminate(),
  };
}
