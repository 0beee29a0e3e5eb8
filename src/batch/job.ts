import { scoreToken } from "../generate/score.ts";
import type { Session } from "../generate/session.ts";
import { SPACING } from "../generate/snapshots.ts";
import type { Speaker } from "../generate/text.ts";
import { type Finish, type Step, Writer } from "../generate/writer.ts";
import type { Event, Request, Scored, Usage } from "./request.ts";
import type { Entry, Result } from "./step.ts";
import type { EventStream } from "./stream.ts";

let jobs = 0;

/**
 * A request on its way: what it has read and written, and what it tells. It holds a session while it runs; one whose session was taken
 * from it reads all its tokens again once it has another, and goes on where it was.
 */
export class Job {
  /** Those that were asked for earlier have smaller ones. */
  readonly number: number;
  readonly request: Request;
  readonly realm: string;
  readonly stream: EventStream;
  /** Of the prompt, those that came from a prefix when it first began. */
  cached: number | undefined;
  /** How often a step failed that it was alone in. */
  failures = 0;
  /** Files that were read for it. */
  readonly tried = new Set<object>();
  /** Whoever asked has gone. */
  abandoned = false;
  /** Aborted at its end: listeners of its signal go then. */
  readonly over = new AbortController();
  /** A fork shares the last page: the next step takes one more. */
  forked = false;
  readonly #writer: Writer;
  readonly #vocabulary: number;
  #session: Session | undefined;
  readonly #marks = new Set<number>();
  #scores: Scored[] = [];
  #prompted = false;
  #place = 0;
  #forms: Record<string, number> = {};
  readonly #times = { asked: performance.now(), begun: 0, first: 0, last: 0 };

  /** Throws ShapeError for settings out of range. `context`: most tokens that its session may hold. */
  constructor(request: Request, { tokenizer, end, model }: Speaker, context: number, stream: EventStream) {
    this.number = jobs++;
    this.request = request;
    this.realm = request.realm ?? "";
    this.stream = stream;
    this.#vocabulary = model.vocabulary;
    this.#writer = new Writer(request.ids, context, { ...request, tokenizer, end: request.end ?? end });
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** All its tokens so far, of which the session has run the first ones. */
  get tokens(): Int32Array {
    return this.#writer.seen;
  }

  get written(): number {
    return this.#writer.written;
  }

  /** Tokens that are to be run: of the prompt, or the newest one. */
  get left(): number {
    return this.tokens.length - (this.#session?.length ?? 0);
  }

  /** Whether each of its steps writes a token. */
  get writing(): boolean {
    return this.written > 0 && this.left === 1;
  }

  /** Whether it is known what may follow. */
  get ready(): boolean {
    return this.request.constraint?.ready ?? true;
  }

  /** Seconds since it was asked for. */
  get age(): number {
    return (performance.now() - this.#times.asked) / 1000;
  }

  /** Whether it has ever run. */
  get begun(): boolean {
    return this.#times.begun > 0;
  }

  /** Whether the scores of the prompt's tokens are yet to be made: they come from running it from its start. */
  get scoring(): boolean {
    return this.request.promptLogprobs !== undefined && !this.#prompted;
  }

  tellPlace(place: number): void {
    if (place === this.#place || this.#times.begun) return;
    this.#place = place;
    this.stream.push({ kind: "queued", place });
  }

  /** Runs in this session from now on, which holds the first of its tokens. */
  begin(session: Session, forked: boolean): void {
    this.#session = session;
    this.forked = forked;
    this.#times.begun ||= performance.now();
    this.cached ??= session.length;
    if (this.scoring) this.#scores = [];
  }

  /** Others may go on from its first `length` tokens: a step ends there. */
  mark(length: number): void {
    this.#marks.add(length);
  }

  /** Whether it has just come to a place that was marked, which then is none any longer. */
  takeMark(): boolean {
    return this.#marks.delete(this.#session!.length);
  }

  /** Gives its session up; what it has written stays. */
  pause(): void {
    this.#session?.free();
    this.#leave();
  }

  /**
   * The next tokens to run, at most so many. Over states a step ends where a snapshot is due: taken only where a long step happens to
   * end, behind what prompts have in common, it would be of use to nobody.
   */
  entry(most: number): Entry {
    const session = this.#session!;
    const { length } = session;
    const ahead = [...this.#marks].filter((mark) => mark > length);
    if (session.sequence.hasState) ahead.push(length - (length % SPACING) + SPACING);
    const ids = this.tokens.slice(length, Math.min(length + most, ...ahead));
    const last = length + ids.length === this.tokens.length && this.request.maxTokens !== 0;
    return { session, ids, logits: this.scoring ? "all" : last ? "last" : "none", few: this.#writer.leaders };
  }

  /**
   * Goes on by what a step gave for its entry. @returns why it ended, where it did; "held" where that is not known yet, and it is to
   * go on by the same once it is ready.
   */
  go({ ids, logits }: Entry, { numbers, few }: Result): Finish | "held" | undefined {
    if (this.#writer.drawn) return this.#conclude();
    const { request, tokens } = this;
    const { length } = this.#session!;
    const rows = logits === "none" ? 0 : numbers.length / this.#vocabulary;
    const row = (i: number) => numbers.subarray(i * this.#vocabulary, (i + 1) * this.#vocabulary);
    if (this.scoring && logits === "all")
      for (let i = 0, at = length - ids.length + 1; i < ids.length && at < request.ids.length; i++, at++)
        this.#scores.push(scoreToken(row(i), tokens[at]!, request.promptLogprobs!));
    if (length < tokens.length) return undefined;
    this.#tellPrompt();
    if (request.maxTokens === 0) return "length";
    if (few) return this.#follow(this.#writer.stepByLeaders(numbers));
    this.#writer.draw(row(rows - 1));
    return this.#conclude();
  }

  #conclude(): Finish | "held" | undefined {
    if (this.request.constraint?.endless && !this.ready) return "held";
    return this.#follow(this.#writer.conclude());
  }

  #follow(step: Step): Finish | undefined {
    this.#tell(step);
    return step.finish;
  }

  /** Tells the end. Its session, where it has one, is whoever calls' to keep or to free. */
  end(finish: Finish | "abort"): Session | undefined {
    const session = this.#session;
    const bytes = session?.bytes ?? 0;
    this.#leave();
    this.over.abort();
    this.stream.push({ kind: "end", finish, usage: this.#usage(bytes) });
    this.stream.end();
    return session;
  }

  /** Ends in an error. */
  fail(error: unknown): void {
    this.pause();
    this.over.abort();
    this.stream.fail(error);
  }

  /** Is without a session from now on; what ran in it is written down. */
  #leave(): void {
    const { prefill = {}, decode = {} } = this.#session?.forms ?? {};
    for (const [form, count] of [...Object.entries(prefill), ...Object.entries(decode)])
      this.#forms[form] = (this.#forms[form] ?? 0) + count;
    this.#session = undefined;
  }

  #tellPrompt(): void {
    if (this.#prompted) return;
    const scores = this.request.promptLogprobs === undefined ? undefined : this.#scores;
    this.#prompted = true;
    this.stream.push({ kind: "prompt", cached: this.cached!, scores });
  }

  #tell({ id, text, score }: Step): void {
    this.#times.last = performance.now();
    this.#times.first ||= this.#times.last;
    const event: Event = { kind: "token", id, text, score };
    this.stream.push(event);
  }

  #usage(bytes: number): Usage {
    const { asked, begun, first, last } = this.#times;
    const now = performance.now();
    return {
      prompt: this.request.ids.length,
      cached: this.cached ?? 0,
      written: this.written,
      waited: ((begun || now) - asked) / 1000,
      first: begun ? ((first || now) - begun) / 1000 : 0,
      writing: (last - first) / 1000,
      bytes,
      forms: { ...this.#forms },
    };
  }
}
