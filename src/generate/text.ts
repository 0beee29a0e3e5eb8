import type { Machine } from "../cost/crossover.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { FormCounts } from "./forms.ts";
import { checkPrompt, type GenerateOptions, generate } from "./generate.ts";
import { type LogitsOptions, promptLogits } from "./logits.ts";
import type { Saved } from "./saved.ts";
import { type AppendOptions, cacheBytes, Session, type SessionOptions } from "./session.ts";
import type { Step } from "./writer.ts";

/** Text, or token ids. */
export type Prompt = string | ArrayLike<number>;

/** Whose session it is: a loaded model, or parts of one. */
export interface Speaker {
  readonly model: Model;
  readonly weights: Weights;
  readonly tokenizer: Tokenizer | undefined;
  readonly end: ReadonlySet<number>;
  /** Tokens that the model was made for. */
  readonly context: number | undefined;
  /** Whose speed decides about forms. */
  readonly machine: Machine;
}

/** A session that reads and writes text: tokens in, tokens out, over a cache that grows. Without a tokenizer it takes ids alone. */
export class TextSession {
  readonly #speaker: Speaker;
  readonly #session: Session;

  /** For `load`'s models, which make them. */
  constructor(speaker: Speaker, session: Session) {
    this.#speaker = speaker;
    this.#session = session;
  }

  /** Tokens seen. */
  get length(): number {
    return this.#session.length;
  }

  /** The tokens seen. */
  get tokens(): Int32Array {
    return this.#session.tokens;
  }

  /** The most tokens that it may see. */
  get context(): number {
    return this.#session.context;
  }

  /** Bytes that the caches hold. */
  get bytes(): number {
    return this.#session.bytes;
  }

  /** Bytes of these that forks hold as well. */
  get sharedBytes(): number {
    return this.#session.sharedBytes;
  }

  /** Bytes of the states that are kept to come back to, where layers have states. */
  get snapshotBytes(): number {
    return this.#session.snapshotBytes;
  }

  /** Tokens times layers that ran in each form of attention so far. */
  get forms(): FormCounts {
    return this.#session.forms;
  }

  /** The ids of a prompt: at the start of a session with the tokenizer's special tokens around it. Throws ShapeError for text without a tokenizer. */
  ids(prompt: Prompt): Int32Array {
    if (typeof prompt !== "string") return Int32Array.from(prompt);
    const { tokenizer } = this.#speaker;
    if (!tokenizer) throw new ShapeError("prompt: got text and no tokenizer, expected token ids; give ids instead");
    return this.length ? tokenizer.encode(prompt) : tokenizer.prompt(prompt);
  }

  /** Runs a prompt; logits `[tokens, vocabulary]`, or of the last token alone. The caller frees the result. Throws as `Session.append`. */
  append(prompt: Prompt, options?: AppendOptions): Tensor {
    const ids = this.ids(prompt);
    checkPrompt(this.#session, ids);
    return this.#session.append(ids, options);
  }

  /** Runs a prompt in chunks; logits `[tokens, vocabulary]` of every token, undefined where it was aborted. Throws as `generate`. */
  logits(prompt: Prompt, options?: LogitsOptions): Promise<Float32Array | undefined> {
    return promptLogits(this.#session, this.ids(prompt), options);
  }

  /** Runs a prompt and draws the token that follows; undefined where it was aborted. */
  async next(prompt: Prompt, options?: GenerateOptions): Promise<Step | undefined> {
    for await (const step of this.generate(prompt, { ...options, maxTokens: 1 })) return step;
    return undefined;
  }

  /** Runs a prompt and writes on: see `generate`. The tokenizer and the end tokens are the model's own unless given. */
  generate(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<Step, void, undefined> {
    const { tokenizer = this.#speaker.tokenizer, end = this.#speaker.end } = options;
    return generate(this.#session, this.ids(prompt), { ...options, tokenizer, end });
  }

  /** Goes back to what it shares with `ids`, and gives those that are left to run: see `keepShared`. */
  keepShared(ids: Int32Array): Int32Array {
    return keepShared(this.#session, ids);
  }

  /** A session that goes on from here by itself; the prefix is held once. Free both. */
  fork(): TextSession {
    return new TextSession(this.#speaker, this.#session.fork());
  }

  /** Forgets all tokens from `length` on; over layers with a state it may run some again. Throws as `Session.rewind`. */
  rewind(length: number): void {
    this.#session.rewind(length);
  }

  /** Writes tokens and caches to one file, atomically. Throws DeviceError where the disk refuses. */
  save(path: string): Promise<void> {
    return this.#session.save(path);
  }

  /** The same in memory. */
  encode(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#session.encode();
  }

  free(): void {
    this.#session.free();
  }
}

/** A new text session. Errors: as `Session`. */
export function openSession(speaker: Speaker, options: SessionOptions = {}): TextSession {
  return new TextSession(speaker, new Session(speaker.model, speaker.weights, fitOptions(speaker, options)));
}

/** A text session that goes on from a saved one. Errors: as `Session.load`. */
export async function resumeSession(
  speaker: Speaker,
  saved: Saved,
  options: SessionOptions = {},
): Promise<TextSession> {
  const { model, weights } = speaker;
  return new TextSession(speaker, await Session.load(saved, model, weights, fitOptions(speaker, options)));
}

/**
 * Takes a session back to the longest beginning that its tokens share with `ids`, and gives the ids that are left to run: one at
 * least, since logits come from running. Over layers with a state it goes back to the last snapshot in that beginning, and what
 * follows is among those left.
 */
export function keepShared(session: Session, ids: Int32Array): Int32Array {
  const { tokens } = session;
  let shared = 0;
  while (shared < ids.length - 1 && tokens[shared] === ids[shared]) shared++;
  const kept = session.reachable(shared);
  session.rewind(kept);
  return ids.subarray(kept);
}

/** What was asked for, on the model's machine unless another was named, with room for the model's own context or for what nine tenths of the memory hold. */
function fitOptions(speaker: Speaker, options: SessionOptions): SessionOptions {
  const { machine = speaker.machine, context, cache } = options;
  if (context !== undefined) return { ...options, machine };
  const { model, weights, context: made = Number.POSITIVE_INFINITY } = speaker;
  const { freeBytes, elementBytes } = weights.get("embed")!.device;
  const bytes = (tokens: number) => cacheBytes(model, tokens, cache, elementBytes);
  const many = 2 ** 16;
  const each = (bytes(many) - bytes(0)) / many;
  const most = each > 0 ? Math.max(1, Math.floor((0.9 * freeBytes) / each)) : Number.POSITIVE_INFINITY;
  return { ...options, machine, context: Math.min(made, most) };
}
