import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkPrompt, type GenerateOptions, generate, type Step } from "./generate.ts";
import { Session } from "./session.ts";

/** How large a session is. */
export interface SessionOptions {
  /** Most tokens it holds; what the model was made for unless given. */
  readonly context?: number | undefined;
}

/** Text, or token ids. */
export type Prompt = string | ArrayLike<number>;

/** A session that reads and writes text. */
export interface TextSession {
  /** The session itself, in ids and tensors. */
  readonly session: Session;
  /** Tokens seen. */
  readonly length: number;
  /** Bytes of its cache. */
  readonly bytes: number;
  /** The ids of a prompt: at the start of a session with the tokenizer's special tokens around it. */
  ids(prompt: Prompt): Int32Array;
  /** Runs a prompt; logits `[tokens, vocabulary]`, or of the last token alone. The caller frees the result. */
  append(prompt: Prompt, options?: { form?: string; logits?: "all" | "last" }): Tensor;
  /** Runs a prompt and draws the token that follows; undefined where it was aborted. */
  next(prompt: Prompt, options?: GenerateOptions): Promise<Step | undefined>;
  /** Runs a prompt and writes on: see `generate`. The tokenizer and the end tokens are the model's own unless given. */
  generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<Step, void, undefined>;
  free(): void;
}

/** What a session is made from. */
export interface SessionParts extends SessionOptions {
  readonly model: Model;
  readonly weights: Weights;
  readonly tokenizer: Tokenizer | undefined;
  readonly end: ReadonlySet<number>;
}

/** A new text session over a model; without a tokenizer it takes ids alone. Throws ShapeError, DeviceError. */
export function openSession(parts: SessionParts): TextSession {
  const { model, weights, tokenizer, end, context = 4096 } = parts;
  if (!(Number.isSafeInteger(context) && context > 0))
    throw new ShapeError(`context: got ${context}, expected a whole number from 1 on`);
  const session = new Session(model, weights, { context });
  const ids = (prompt: Prompt): Int32Array => {
    if (typeof prompt !== "string") return Int32Array.from(prompt);
    if (!tokenizer) throw new ShapeError("prompt: got text and no tokenizer, expected token ids; give ids instead");
    return session.length ? tokenizer.encode(prompt) : tokenizer.prompt(prompt);
  };
  const go = (prompt: Prompt, options: GenerateOptions = {}) =>
    generate(session, ids(prompt), { end, ...(tokenizer ? { tokenizer } : {}), ...options });
  return {
    session,
    get length() {
      return session.length;
    },
    get bytes() {
      return session.bytes;
    },
    ids,
    append(prompt, options) {
      const all = ids(prompt);
      checkPrompt(session, all);
      return session.append(all, options);
    },
    next: async (prompt, options) => {
      for await (const step of go(prompt, { ...options, maxTokens: 1 })) return step;
      return undefined;
    },
    generate: go,
    free: () => session.free(),
  };
}
