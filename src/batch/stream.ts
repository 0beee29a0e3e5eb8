import type { Event } from "./request.ts";

/** What somebody waits for. */
interface Waiting {
  readonly resolve: (result: IteratorResult<Event, void>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Events of one request on their way to whoever asked. Unlike an async function's, its `return` does not wait for the next event, so
 * that a request can be given up while it waits. Events that nobody has asked for yet are kept: as many as tokens are written at most.
 */
export class EventStream implements AsyncGenerator<Event, void, undefined> {
  readonly #begin: () => void;
  readonly #leave: () => void;
  readonly #events: Event[] = [];
  readonly #waiting: Waiting[] = [];
  #begun = false;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  /** `begin` is called at the first `next`, which throws what it throws; `leave` where whoever asked goes away before the end. */
  constructor(begin: () => void, leave: () => void) {
    this.#begin = begin;
    this.#leave = leave;
  }

  /** Gives an event on. */
  push(event: Event): void {
    if (this.#ended) return;
    const first = this.#waiting.shift();
    if (first) first.resolve({ value: event, done: false });
    else this.#events.push(event);
  }

  /** Nothing follows. */
  end(): void {
    this.#ended = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
  }

  /** Nothing follows but this error, once the events before it have been taken. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    const [first, ...others] = this.#waiting.splice(0);
    if (first) first.reject(error);
    else this.#failure = { error };
    for (const { resolve } of others) resolve({ value: undefined, done: true });
  }

  async next(): Promise<IteratorResult<Event, void>> {
    if (!this.#begun) {
      this.#begun = true;
      try {
        if (!this.#ended) this.#begin();
      } catch (error) {
        this.#ended = true;
        throw error;
      }
    }
    const event = this.#events.shift();
    if (event) return { value: event, done: false };
    if (this.#failure) {
      const { error } = this.#failure;
      this.#failure = undefined;
      throw error;
    }
    if (this.#ended) return { value: undefined, done: true };
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async return(): Promise<IteratorResult<Event, void>> {
    const open = this.#begun && !this.#ended;
    this.#events.length = 0;
    this.#failure = undefined;
    this.end();
    if (open) this.#leave();
    return { value: undefined, done: true };
  }

  async throw(error: unknown): Promise<IteratorResult<Event, void>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
