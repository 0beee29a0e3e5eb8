import { PREFILL_CHUNK } from "../cost/host.ts";
import { turn } from "../device/turn.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Numbers } from "../tensor/tensor.ts";
import { textStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { History } from "./history.ts";
import { type Sampling, sampler } from "./sampling.ts";
import type { Session } from "./session.ts";
import { stopper } from "./stop.ts";

/** How to write on, and when to stop. */
export interface GenerateOptions extends Sampling {
  /** Most tokens to write; as many as the session has room for unless given. 0 runs the prompt alone. */
  readonly maxTokens?: number | undefined;
  /** The text ends before the first of these; it needs a tokenizer. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens after which nothing follows. */
  readonly end?: ReadonlySet<number> | undefined;
  /** Turns ids to text; without one, every text is empty. */
  readonly tokenizer?: Tokenizer | undefined;
  /** The form that attention runs in, for the prompt and for each token; the session's choice unless given. */
  readonly form?: string | undefined;
  /** Tokens of the prompt run at a time, as a session's own chunks unless given; between them the event loop turns. */
  readonly chunk?: number | undefined;
  /** Ends the writing after the step at work, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Sees how many tokens of the prompt have run: none, before the first of them. */
  readonly watch?: ((done: number, total: number) => void) | undefined;
}

/** Why writing ended: an end token, a stop string, `maxTokens`, or a full session. */
export type Finish = "end" | "stop" | "length" | "context";

/** One token written. */
export interface Step {
  readonly id: number;
  /** The text that this token made certain: none while a character or a stop string may still be incomplete. */
  readonly text: string;
  /** On the last step alone. */
  readonly finish?: Finish | undefined;
}

/**
 * Continues `prompt` (one token at least) in a session, token by token. The pieces of text put together are what the ids decode
 * to, special tokens left out, up to the first stop string. Each id is run when the one after it is asked for: the last one is not
 * in the session.
 *
 * Errors: ShapeError for an id outside the vocabulary, a prompt longer than the session has room for, or a sampling setting out
 * of range; DeviceError for logits that are not numbers.
 */
export async function* generate(
  session: Session,
  prompt: Int32Array,
  options: GenerateOptions = {},
): AsyncGenerator<Step, void, undefined> {
  const { maxTokens = Number.POSITIVE_INFINITY, stop = [], end, tokenizer } = options;
  if (!(maxTokens >= 0)) throw new ShapeError(`maxTokens: got ${maxTokens}, expected 0 or more`);
  if (stop.length && !tokenizer) throw new ShapeError("stop: got no tokenizer, expected one; stop strings are text");
  const draw = sampler(options);
  checkPrompt(session, prompt);
  const decoder = tokenizer && textStream(tokenizer, { special: "omit" });
  const gate = stopper(stop);
  const seen = new History(session.tokens);
  seen.push(prompt);
  let next = prompt;
  if (maxTokens === 0) await logitsAfter(session, next, options, options.watch);
  for (let written = 1; written <= maxTokens; written++) {
    const logits = await logitsAfter(session, next, options, written === 1 ? options.watch : undefined);
    if (!logits) return;
    const id = draw(logits, seen.ids);
    const drawn = Int32Array.of(id);
    seen.push(drawn);
    const ended = end?.has(id) ?? false;
    let finish: Finish | undefined = ended ? "end" : written >= maxTokens ? "length" : undefined;
    if (!finish && session.length >= session.context) finish = "context";
    let { text, stopped } = gate.push((!ended && decoder?.push(id)) || "");
    if (finish && !stopped) {
      const rest = gate.push(decoder?.end() ?? "");
      stopped = rest.stopped;
      text += rest.text + gate.end();
    }
    if (stopped) finish = "stop";
    yield { id, text, finish };
    if (finish) return;
    next = drawn;
  }
}

/** All ids of a generation, once it has ended. */
export async function idsOf(steps: AsyncIterable<Step>): Promise<Int32Array> {
  const history = new History();
  for await (const { id } of steps) history.push(Int32Array.of(id));
  return history.ids;
}

/** Runs ids in chunks and gives the logits after the last; undefined where it was aborted. */
async function logitsAfter(
  session: Session,
  ids: Int32Array,
  { form, chunk = PREFILL_CHUNK, signal }: GenerateOptions,
  watch: GenerateOptions["watch"],
): Promise<Numbers | undefined> {
  watch?.(0, ids.length);
  for (let at = 0; ; ) {
    await turn();
    if (signal?.aborted) return undefined;
    const logits = session.append(ids.subarray(at, at + chunk), { logits: "last", form });
    at += chunk;
    watch?.(Math.min(at, ids.length), ids.length);
    try {
      if (at >= ids.length) return await logits.read();
    } finally {
      logits.free();
    }
  }
}

/** Throws ShapeError where a session cannot run these ids. */
export function checkPrompt({ model, length, context }: Session, ids: Int32Array): void {
  if (ids.length === 0) throw new ShapeError("prompt: got no tokens, expected at least one; give it some text");
  if (length + ids.length > context)
    throw new ShapeError(
      `prompt: got ${ids.length} tokens${length ? ` after ${length}` : ""}, expected at most the context of ${context} in all; ` +
        "shorten it or make the context larger",
    );
  for (const [i, id] of ids.entries())
    if (id < 0 || id >= model.vocabulary)
      throw new ShapeError(
        `prompt: got the id ${id} at ${i}, expected a whole number in [0, ${model.vocabulary}), the model's vocabulary`,
      );
}
