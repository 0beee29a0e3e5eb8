import type { Sampling } from "../generate/sampling.ts";
import type { Scored } from "../generate/score.ts";
import type { Constraint, Finish } from "../generate/writer.ts";

export type { Likelihood, Scored } from "../generate/score.ts";
export type { Constraint } from "../generate/writer.ts";

/** What one sequence wants written. */
export interface Request extends Sampling {
  /** The prompt: one token at least. */
  readonly ids: Int32Array;
  /** Most tokens to write; what the context has room for unless given. 0 reads the prompt alone. */
  readonly maxTokens?: number | undefined;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens after which nothing follows; the model's own unless given. */
  readonly end?: ReadonlySet<number> | undefined;
  /** Whether special tokens stand in `text`: "omit" unless given; a set names those that do, such as a model's own marks of tools and thoughts. */
  readonly special?: "omit" | "keep" | ReadonlySet<number> | undefined;
  /** How many of the likeliest tokens are told beside each one written, and of each one its log probability; undefined: nothing. */
  readonly logprobs?: number | undefined;
  /** The same for the tokens of the prompt, from its second on. */
  readonly promptLogprobs?: number | undefined;
  /** Added to logits before anything else, by token id. */
  readonly bias?: ReadonlyMap<number, number> | undefined;
  readonly constraint?: Constraint | undefined;
  /** Who may share prefixes with it: all requests of the same name. */
  readonly realm?: string | undefined;
  /** Ends it: its pages are free within a step. */
  readonly signal?: AbortSignal | undefined;
}

/** What a sequence cost, told at its end. Times in seconds. */
export interface Usage {
  readonly prompt: number;
  /** Of the prompt's tokens those whose cache was there already. */
  readonly cached: number;
  readonly written: number;
  /** In the queue, from there until the first token, and from there to the last. */
  readonly waited: number;
  readonly first: number;
  readonly writing: number;
  /** Bytes of cache that the sequence held at its end, shared ones included. */
  readonly bytes: number;
  /** Tokens times layers that ran in each form of attention. */
  readonly forms: Readonly<Record<string, number>>;
}

/** What happens to a request, in this order: places in the queue, then the prompt, then tokens, then one end. */
export type Event =
  | { readonly kind: "queued"; readonly place: number }
  /** The prompt has been read; `scores` where `promptLogprobs` asked, one per token from the second on. */
  | { readonly kind: "prompt"; readonly cached: number; readonly scores?: readonly Scored[] | undefined }
  /** `text` is what the token made certain: none while a character or a stop string may still be incomplete. */
  | { readonly kind: "token"; readonly id: number; readonly text: string; readonly score?: Scored | undefined }
  | { readonly kind: "end"; readonly finish: Finish | "abort"; readonly usage: Usage };

/** Why a request is not taken: it can never fit, the queue is full, nothing more is taken, or (after events) its time is over. */
export type Reason = "size" | "queue" | "closing" | "time";

/** A request that an engine does not take, or gives up, thrown in place of an event; the message has the numbers. */
export class Refused extends Error {
  override name = "Refused";
  readonly reason: Reason;
  /** What of the request is too large, where that is the reason. */
  readonly part: "prompt" | "maxTokens" | undefined;

  constructor(reason: Reason, message: string, part?: Refused["part"]) {
    super(message);
    this.reason = reason;
    this.part = part;
  }
}

/**
 * Throws Refused where a prompt and what is to be written can never fit in a context: a prompt alone may fill it, with an answer it
 * leaves room for one token at least. `about` says what else is known of the context.
 */
export function checkFits(
  { ids, maxTokens = 1 }: Pick<Request, "ids" | "maxTokens">,
  context: number,
  about: string,
): void {
  if (ids.length + maxTokens <= context) return;
  throw new Refused(
    "size",
    `prompt: got ${ids.length} tokens and ${maxTokens} to write, expected at most ${context} in all, ${about}; shorten one of them`,
    ids.length >= context ? "prompt" : "maxTokens",
  );
}
