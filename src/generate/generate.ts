import { PREFILL_CHUNK } from "../cost/host.ts";
import { turn } from "../device/turn.ts";
import { leaders } from "../ops/leaders/index.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Numbers, Tensor } from "../tensor/tensor.ts";
import { History } from "./history.ts";
import type { Session } from "./session.ts";
import { type Step, type WriteOptions, Writer } from "./writer.ts";

/** How to write on, and when to stop. */
export interface GenerateOptions extends WriteOptions {
  /** The form that attention runs in, for the prompt and for each token; the session's choice unless given. A function is asked before each step. */
  readonly form?: string | (() => string | undefined) | undefined;
  /** Tokens of the prompt run at a time, as a session's own chunks unless given; between them the event loop turns. */
  readonly chunk?: number | undefined;
  /** Ends the writing after the step at work, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Sees how many tokens of the prompt have run: none, before the first of them. */
  readonly watch?: ((done: number, total: number) => void) | undefined;
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
  checkPrompt(session, prompt);
  const before = new History(session.tokens);
  before.push(prompt);
  const writer = new Writer(before.ids, session.context, options);
  let next = prompt;
  for (let watch = options.watch; ; watch = undefined) {
    const { leaders: few } = writer;
    const numbers = await numbersAfter(session, next, options, few, watch);
    if (!numbers || options.maxTokens === 0) return;
    const step = few ? writer.stepByLeaders(numbers) : writer.step(numbers);
    yield step;
    if (step.finish) return;
    next = Int32Array.of(step.id);
  }
}

/** All ids of a generation, once it has ended. */
export async function idsOf(steps: AsyncIterable<Step>): Promise<Int32Array> {
  const history = new History();
  for await (const { id } of steps) history.push(Int32Array.of(id));
  return history.ids;
}

/** Runs ids in chunks and gives the logits after the last, or a few leaders of them; undefined where it was aborted. */
async function numbersAfter(
  session: Session,
  ids: Int32Array,
  { form, chunk = PREFILL_CHUNK, signal }: GenerateOptions,
  few: number | undefined,
  watch: GenerateOptions["watch"],
): Promise<Numbers | undefined> {
  watch?.(0, ids.length);
  for (let at = 0; ; ) {
    await turn();
    if (signal?.aborted) return undefined;
    const now = typeof form === "function" ? form() : form;
    const logits = session.append(ids.subarray(at, at + chunk), { logits: "last", form: now });
    at += chunk;
    watch?.(Math.min(at, ids.length), ids.length);
    try {
      if (at >= ids.length) return await (few ? readLeaders(logits, few) : logits.read());
    } finally {
      logits.free();
    }
  }
}

/** What a device finds to be the largest logits is all that it has to send. */
async function readLeaders(logits: Tensor, few: number): Promise<Numbers> {
  const found = leaders(logits, Math.min(few, logits.shape[1]!));
  try {
    return await found.read();
  } finally {
    found.free();
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
