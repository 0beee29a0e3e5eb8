import type { Machine } from "../cost/crossover.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkPrompt, type GenerateOptions, generate, type Step } from "./generate.ts";
import { type AppendOptions, cacheBytes, Session, type SessionOptions } from "./session.ts";

/** Text, or token ids. */
export type Prompt = string | ArrayLike<number>;

/** A session that reads and writes text. Without a tokenizer it takes ids alone. */
export interface TextSession {
  /** The session itself, in ids and tensors. */
  readonly session: Session;
  /** The ids of a prompt: at the start of a session with the tokenizer's special tokens around it. */
  ids(prompt: Prompt): Int32Array;
  /** Runs a prompt; logits `[tokens, vocabulary]`, or of the last token alone. The caller frees the result. */
  append(prompt: Prompt, options?: AppendOptions): Tensor;
  /** Runs a prompt and draws the token that follows; undefined where it was aborted. */
  next(prompt: Prompt, options?: GenerateOptions): Promise<Step | undefined>;
  /** Runs a prompt and writes on: see `generate`. The tokenizer and the end tokens are the model's own unless given. */
  generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<Step, void, undefined>;
  /** As of `Session`. */
  fork(): TextSession;
  rewind(length: number): void;
  save(path: string): Promise<void>;
  free(): void;
}

/** Whose session it is. */
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

/** A new text session, or one that goes on from a saved file. Errors: as `Session` and `Session.load`. */
export function openSession(speaker: Speaker, options: SessionOptions = {}): TextSession {
  return speaking(speaker, new Session(speaker.model, speaker.weights, settled(speaker, options)));
}

/** A text session that goes on from a saved file. Errors: as `Session.load`. */
export async function resumeSession(
  speaker: Speaker,
  path: string,
  options: SessionOptions = {},
): Promise<TextSession> {
  return speaking(speaker, await Session.load(path, speaker.model, speaker.weights, settled(speaker, options)));
}

/** What was asked for, with the model's machine and, for a context, what the model was made for or nine tenths of what memory holds. */
function settled(
  { model, weights, machine, context: made = Number.POSITIVE_INFINITY }: Speaker,
  options: SessionOptions,
): SessionOptions {
  if (options.context !== undefined) return { machine, ...options };
  const { freeBytes, elementBytes } = weights.get("embed")!.device;
  const bytes = (tokens: number) => cacheBytes(model, tokens, options.cache, elementBytes);
  const many = 2 ** 16;
  const each = (bytes(many) - bytes(0)) / many;
  const most = each > 0 ? Math.max(1, Math.floor((0.9 * freeBytes) / each)) : Number.POSITIVE_INFINITY;
  return { machine, ...options, context: Math.min(made, most) };
}

function speaking(speaker: Speaker, session: Session): TextSession {
  const { tokenizer, end } = speaker;
  const ids = (prompt: Prompt): Int32Array => {
    if (typeof prompt !== "string") return Int32Array.from(prompt);
    if (!tokenizer) throw new ShapeError("prompt: got text and no tokenizer, expected token ids; give ids instead");
    return session.length ? tokenizer.encode(prompt) : tokenizer.prompt(prompt);
  };
  const go = (prompt: Prompt, options: GenerateOptions = {}) =>
    generate(session, ids(prompt), { end, ...(tokenizer ? { tokenizer } : {}), ...options });
  return {
    session,
    ids,
    append(prompt, options) {
      const all = ids(prompt);
      checkPrompt(session, all);
      return session.append(all, options);
    },
    async next(prompt, options) {
      for await (const step of go(prompt, { ...options, maxTokens: 1 })) return step;
      return undefined;
    },
    generate: go,
    fork: () => speaking(speaker, session.fork()),
    rewind: (length) => session.rewind(length),
    save: (path) => session.save(path),
    free: () => session.free(),
  };
}
