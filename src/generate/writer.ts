import { ShapeError } from "../tensor/error.ts";
import type { Numbers } from "../tensor/tensor.ts";
import { type TextStream, textStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { History } from "./history.ts";
import { decisive, type Sampler, type Sampling, sampler } from "./sampling.ts";
import { type Scored, scoreToken } from "./score.ts";
import { type Stopper, stopper } from "./stop.ts";

/** What bounds the next token: a schema, an expression or a grammar, as far as a sequence has come in it. */
export interface Constraint {
  /** Sets the logits of all tokens that may not follow to -Infinity. */
  mask(logits: Numbers): void;
  /** Goes on by a token that was drawn. */
  accept(id: number): void;
  /** Whether nothing may follow, where no end token says so. */
  readonly done?: boolean;
  /** Whether it is known what may follow, where that is worked out elsewhere: `mask` waits for it, and holds the thread meanwhile. */
  readonly ready?: boolean;
  /** Whether `done` waits like `mask` until the constraint is `ready`: no end token will say that nothing may follow. */
  readonly endless?: boolean;
  /** Gives back what a library holds. */
  free(): void;
}

/** What is written, and when it stops. */
export interface WriteOptions extends Sampling {
  /** Most tokens to write; as many as there is room for unless given. 0 runs the prompt alone. */
  readonly maxTokens?: number | undefined;
  /** The text ends before the first of these; it needs a tokenizer. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens after which nothing follows. */
  readonly end?: ReadonlySet<number> | undefined;
  /** Turns ids to text; without one, every text is empty. */
  readonly tokenizer?: Tokenizer | undefined;
  /** Whether special tokens stand in the text: "omit" unless given; a set names those that do. */
  readonly special?: "omit" | "keep" | ReadonlySet<number> | undefined;
  /** Added to logits before anything else, by token id. */
  readonly bias?: ReadonlyMap<number, number> | undefined;
  /** What may follow. Whoever made it frees it. */
  readonly constraint?: Constraint | undefined;
  /** How many of the likeliest tokens are told beside each one written, and of each one its log probability; nothing unless given. */
  readonly logprobs?: number | undefined;
}

/** Why writing ended: an end token, a stop string, `maxTokens`, or a full session. */
export type Finish = "end" | "stop" | "length" | "context";

/** One token written. */
export interface Step {
  readonly id: number;
  /** The text that this token made certain: none while a character or a stop string may still be incomplete. */
  readonly text: string;
  /** How likely it was, where `logprobs` asked. */
  readonly score?: Scored | undefined;
  /** On the last step alone. */
  readonly finish?: Finish | undefined;
}

/**
 * One sequence as it is written: from logits to a token, to text, to its end. It runs no model, so that whoever does can have
 * many at once. Errors: ShapeError for a setting out of range, or stop strings without a tokenizer.
 */
export class Writer {
  /** Tokens written. */
  written = 0;
  readonly #options: WriteOptions;
  readonly #seen: History;
  readonly #prompt: number;
  readonly #context: number;
  readonly #draw: Sampler;
  readonly #decoder: TextStream | undefined;
  readonly #gate: Stopper;
  /** The newest token, of which it is not told yet whether it is the last. */
  #drawn: Omit<Step, "text" | "finish"> | undefined;

  /** `before`: all tokens before the first that is written. `context`: most tokens that can be run. */
  constructor(before: Int32Array, context: number, options: WriteOptions) {
    const { maxTokens = Number.POSITIVE_INFINITY, stop = [], tokenizer, special = "omit" } = options;
    if (!(maxTokens >= 0)) throw new ShapeError(`maxTokens: got ${maxTokens}, expected 0 or more`);
    if (stop.length && !tokenizer) throw new ShapeError("stop: got no tokenizer, expected one; stop strings are text");
    this.#options = options;
    this.#draw = sampler(options);
    this.#seen = new History(before);
    this.#prompt = before.length;
    this.#context = context;
    this.#decoder = tokenizer && textStream(tokenizer, { special });
    this.#gate = stopper(stop);
  }

  /** All tokens so far: good until the next one. */
  get seen(): Int32Array {
    return this.#seen.ids;
  }

  /** How many leaders of the logits (ops/leaders) decide the next token, so that no others need be read; undefined where all do. */
  get leaders(): number | undefined {
    const { bias, constraint, logprobs } = this.#options;
    return bias?.size || constraint || logprobs !== undefined ? undefined : decisive(this.#options);
  }

  /**
   * The next token by the logits `[vocabulary]` after the newest one. Nothing follows a step with a `finish`. Throws DeviceError for
   * logits that are not numbers, ShapeError where bias and constraint leave nothing to follow.
   */
  step(logits: Numbers): Step {
    this.draw(logits);
    return this.conclude();
  }

  /** Draws the next token and no more: `conclude` writes it. For whoever is not to wait between them for an endless constraint. */
  draw(logits: Numbers): void {
    const { constraint, logprobs } = this.#options;
    const id = this.#draw(this.#steer(logits), this.#seen.ids, this.#prompt);
    constraint?.accept(id);
    this.#drawn = { id, score: logprobs === undefined ? undefined : scoreToken(logits, id, logprobs) };
  }

  /** Whether a token was drawn that is not written yet. */
  get drawn(): boolean {
    return this.#drawn !== undefined;
  }

  /** Writes the token that was drawn. */
  conclude(): Step {
    const { id, score } = this.#drawn!;
    this.#drawn = undefined;
    return this.#write(id, score);
  }

  /** The same by the places and numbers `[2, k]` of the logits' `leaders`. */
  stepByLeaders(row: Numbers): Step {
    const k = row.length / 2;
    return this.#write(row[this.#draw(row.subarray(k), [], 0)]!, undefined);
  }

  #write(id: number, score: Scored | undefined): Step {
    const { maxTokens = Number.POSITIVE_INFINITY, end, constraint } = this.#options;
    this.#seen.push(Int32Array.of(id));
    this.written++;
    const ended = end?.has(id) ?? false;
    let finish: Finish | undefined =
      ended || constraint?.done ? "end" : this.written >= maxTokens ? "length" : undefined;
    // The newest token has yet to be run.
    if (!finish && this.#seen.length > this.#context) finish = "context";
    let { text, stopped } = this.#gate.push((!ended && this.#decoder?.push(id)) || "");
    if (finish && !stopped) {
      const rest = this.#gate.push(this.#decoder?.end() ?? "");
      stopped = rest.stopped;
      text += rest.text + this.#gate.end();
    }
    if (stopped) finish = "stop";
    return { id, text, score, finish };
  }

  /** The logits with bias and constraint; the same array where there is neither. */
  #steer(logits: Numbers): Numbers {
    const { bias, constraint } = this.#options;
    if (!bias?.size && !constraint) return logits;
    const steered = Float64Array.from(logits);
    for (const [id, amount] of bias ?? []) if (id in steered) steered[id]! += amount;
    constraint?.mask(steered);
    if (constraint && !steered.some((x) => x > Number.NEGATIVE_INFINITY))
      throw new ShapeError("constraint: got no token that may follow, expected one at least; loosen the constraint");
    return steered;
  }
}
