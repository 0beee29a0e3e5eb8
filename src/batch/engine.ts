import { setTimeout as sleep } from "node:timers/promises";
import { turn } from "../device/turn.ts";
import type { Session } from "../generate/session.ts";
import type { Speaker } from "../generate/text.ts";
import type { Finish } from "../generate/writer.ts";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import { type CacheType, PAGE } from "../tensor/page.ts";
import { Batch, type Bench } from "./batch.ts";
import { Counts, type Figures } from "./figures.ts";
import { Job } from "./job.ts";
import { Line } from "./line.ts";
import { Pace } from "./pace.ts";
import { Prefixes } from "./prefixes.ts";
import { recomputing } from "./recompute.ts";
import { checkFits, type Event, Refused, type Request } from "./request.ts";
import { Room, total } from "./room.ts";
import { Store } from "./store.ts";
import { EventStream } from "./stream.ts";

/** How many sequences, how long, and in how much memory. */
export interface EngineOptions {
  /** Most tokens of a sequence, prompt and answer: what the model was made for, as far as memory goes, unless given. */
  readonly context?: number | undefined;
  /** Element type of caches: float32 unless given. */
  readonly cache?: CacheType | undefined;
  /** Most sequences that run at once: 16 unless given. */
  readonly slots?: number | undefined;
  /** Most bytes of all caches: nine tenths of the memory that is free unless given. */
  readonly bytes?: number | undefined;
  /**
   * Most bytes of prefixes that are kept for others to go on from, 0 for none; they give way to what runs in any case. 4 GiB, or what
   * one sequence of the whole context takes where that is more, unless given.
   */
  readonly prefixes?: number | undefined;
  /** A folder that keeps prefixes for after a restart, at most so many bytes (4 GiB unless given) in it for each model and cache type. */
  readonly cacheDir?: string | undefined;
  readonly cacheDirBytes?: number | undefined;
  /** Sees a line about each file there that cannot be read or written. */
  readonly warn?: ((line: string) => void) | undefined;
  /** Most tokens of prompts in a step. */
  readonly chunk?: number | undefined;
  /** Most requests that wait: 256 unless given. */
  readonly queue?: number | undefined;
  /** Most seconds that a request waits, and that it takes in all: without end unless given. */
  readonly timeouts?: { readonly queue?: number | undefined; readonly total?: number | undefined } | undefined;
}

/** Most bytes of prefixes, and of their files, where nobody says how many. */
const KEPT_BYTES = 4 * 2 ** 30;

/** How long the loop rests where all wait for a file, or for what a grammar lets follow. */
const RESTING_MS = 2;

/**
 * Writes many sequences at once over one model. They join and leave between steps; a step takes one token of each that writes and a
 * piece of the prompts of others. DESIGN.md ("Many sequences") says who runs, who waits and who gives way.
 */
export class Engine {
  /** Most tokens of a sequence. */
  readonly context: number;
  readonly #model: Speaker;
  readonly #options: EngineOptions;
  readonly #room: Room;
  readonly #prefixes: Prefixes;
  readonly #line: Line;
  readonly #bench: Bench;
  readonly #batch: Batch;
  /** Comes once it is known which prefixes lie in files. */
  readonly #ready: Promise<void>;
  #saving: Promise<void> | undefined;
  readonly #counts = new Counts();
  #closing = false;
  #broken: DeviceError | undefined;
  #work: Promise<void> | undefined;

  /** Throws DeviceError where memory holds no sequence at all. */
  constructor(model: Speaker, options: EngineOptions = {}) {
    this.#model = model;
    this.#options = options;
    const { cache = "f32", slots = 16 } = options;
    this.#room = new Room(model.model, model.weights, cache, options.bytes);
    this.context = this.#room.longest(options.context ?? model.context ?? Number.POSITIVE_INFINITY);
    if (this.context < 2)
      throw new DeviceError(
        `engine: got ${Math.floor(this.#room.limit)} bytes for caches, expected room for a page of tokens; give it more`,
      );
    const kept = options.prefixes ?? Math.max(KEPT_BYTES, total(this.#room.need(this.context)));
    this.#prefixes = new Prefixes(this.#room, recomputing(model.model, model.machine, cache), kept);
    this.#line = new Line(options.queue ?? 256);
    const [room, prefixes, counts] = [this.#room, this.#prefixes, this.#counts];
    this.#bench = { model, cache, room, prefixes, pace: new Pace(options.chunk), counts, slots };
    this.#batch = new Batch(this.#bench);
    this.#ready = this.#openStore();
  }

  /**
   * Writes a sequence; what happens to it comes as events, places in the queue first. The first event that is asked for throws Refused
   * for a request that can never fit, or finds the queue full, and ShapeError for one that says what is not possible; a later one
   * throws Refused where its time is over, and DeviceError where the device has failed. `return` and the request's signal end it.
   */
  submit(request: Request): AsyncGenerator<Event, void, undefined> {
    let job: Job | undefined;
    const leave = () => {
      if (job) this.#abandon(job);
    };
    const stream: EventStream = new EventStream(() => {
      job = this.#accept(request, stream);
      request.signal?.addEventListener("abort", leave, { signal: job.over.signal });
      if (request.signal?.aborted) leave();
    }, leave);
    return stream;
  }

  /** Counters and gauges, made anew. */
  get figures(): Figures {
    return {
      ...this.#counts,
      stepsUpTo: { ...this.#counts.stepsUpTo },
      healthy: !this.#broken,
      running: this.#batch.jobs.length,
      queued: this.#line.length,
      cacheBytes: total(this.#room.held),
      cacheLimit: this.#room.limit,
      diskBytes: this.#bench.store?.bytes ?? 0,
      diskWrites: this.#bench.store?.writes ?? false,
      prefixNodes: this.#prefixes.nodes,
      prefixBytes: this.#prefixes.bytes,
      prefixHits: this.#prefixes.hits,
      prefixEvictions: this.#prefixes.evictions,
    };
  }

  /** Takes no more requests; comes when all that were taken have ended. */
  async drain(): Promise<void> {
    this.#closing = true;
    await this.#work;
    await this.#batch.settle();
    await this.#saving;
    await this.#save(() => false);
  }

  /** Ends all requests and gives the caches' memory back. The model stays open. */
  async close(): Promise<void> {
    for (const job of [...this.#line.jobs, ...this.#batch.jobs]) this.#abandon(job);
    await this.drain();
    this.#prefixes.clear();
  }

  #accept(request: Request, stream: EventStream): Job {
    if (this.#broken) throw this.#broken;
    try {
      if (this.#closing)
        throw new Refused(
          "closing",
          "engine: got a request while it ends, expected none; ask again once it has begun anew",
        );
      this.#check(request);
      const job = new Job(request, this.#model, this.context, stream);
      this.#line.join(job, Math.max(0, this.#bench.slots - this.#batch.jobs.length));
      // What begins within this turn is told no place.
      this.#work ??= this.#run();
      return job;
    } catch (error) {
      this.#counts.refused++;
      throw error;
    }
  }

  /** Throws Refused for what can never fit, ShapeError for what is none. */
  #check({ ids, maxTokens, promptLogprobs = 0, logprobs = 0 }: Request): void {
    const { vocabulary } = this.#model.model;
    if (!ids.length) throw new ShapeError("prompt: got no tokens, expected at least one; give it some text");
    const bad = ids.findIndex((id) => !(id >= 0 && id < vocabulary));
    if (bad >= 0)
      throw new ShapeError(`prompt: got the id ${ids[bad]} at ${bad}, expected a whole number in [0, ${vocabulary})`);
    for (const [name, top] of Object.entries({ promptLogprobs, logprobs }))
      if (!Number.isInteger(top) || top < 0 || top > vocabulary)
        throw new ShapeError(`${name}: got ${top}, expected a whole number from 0 to ${vocabulary}`);
    checkFits({ ids, maxTokens }, this.context, `${Math.floor(this.#room.limit / 2 ** 20)} MiB of caches`);
  }

  /** Whoever asked has gone: one that waits ends at once, one that runs before the next step. */
  #abandon(job: Job): void {
    job.abandoned = true;
    if (this.#line.jobs.includes(job)) this.#end(job, "abort");
  }

  async #run(): Promise<void> {
    try {
      await this.#ready;
      for (await turn(); this.#batch.jobs.length || this.#line.length; await turn()) await this.#round();
    } catch (error) {
      this.#break(new DeviceError(`engine: got ${(error as Error).message}, expected a step`, { cause: error }));
    }
    this.#work = undefined;
    this.#saving ??= this.#save(() => this.#work !== undefined).finally(() => {
      this.#saving = undefined;
    });
  }

  async #openStore(): Promise<void> {
    const { cacheDir: folder, cacheDirBytes: limit = KEPT_BYTES, cache, warn = () => {} } = this.#options;
    if (folder === undefined) return;
    const session = { cache, machine: this.#model.machine };
    try {
      this.#bench.store = await Store.open(this.#model, { folder, limit, session, warn });
    } catch (error) {
      warn(`${(error as Error).message}; prefixes are not kept in ${folder}`);
    }
  }

  /** Writes prefixes to files that are in none, until `ends`. */
  async #save(ends: () => boolean): Promise<void> {
    await this.#ready;
    const { store } = this.#bench;
    const done = new Set<Session>();
    while (store?.writes && !this.#broken && !ends()) {
      const next = this.#prefixes.all.find(({ realm, session }) => {
        return session.length >= PAGE && !done.has(session) && !store.holds(realm, session.tokens);
      });
      if (!next) return;
      done.add(next.session);
      await store.save(next.realm, next.session);
    }
  }

  /** Who leaves, who joins, and a step of those that run. */
  async #round(): Promise<void> {
    this.#sweep();
    for (const job of [...this.#line.jobs]) if (!this.#admit(job)) break;
    this.#line.tell();
    if (this.#batch.held || (!this.#batch.jobs.length && this.#batch.loading)) await sleep(RESTING_MS);
    const { ended, paused, broken } = await this.#batch.step();
    for (const [job, how] of ended) this.#end(job, how);
    for (const job of paused.toReversed()) this.#line.joinFirst(job);
    if (broken) this.#break(broken);
  }

  /** @returns whether those behind it may be looked at. */
  #admit(job: Job): boolean {
    try {
      const outcome = this.#batch.begin(job);
      if (outcome === "begun") this.#line.leave(job);
      return outcome !== "full";
    } catch (error) {
      this.#end(job, error as Error);
      return true;
    }
  }

  /** Ends those that nobody waits for any longer, and those whose time is over. */
  #sweep(): void {
    const { queue = Number.POSITIVE_INFINITY, total = Number.POSITIVE_INFINITY } = this.#options.timeouts ?? {};
    for (const job of this.#batch.jobs) if (job.abandoned) this.#end(job, "abort");
    for (const job of [...this.#line.jobs, ...this.#batch.jobs]) {
      const seconds = job.age;
      const most = job.begun ? total : Math.min(queue, total);
      if (seconds > most)
        this.#end(
          job,
          new Refused(
            "time",
            `request: got ${seconds.toFixed(1)} s ${job.begun ? "in all" : "in the queue"}, expected at most ${most} s; ask for less, or later`,
          ),
        );
    }
  }

  #end(job: Job, how: Finish | "abort" | Error): void {
    this.#line.leave(job);
    this.#batch.leave(job);
    const counts = this.#counts;
    counts.tokensWritten += job.written;
    counts.tokensCached += job.cached ?? 0;
    if (how instanceof Error) {
      counts.failed++;
      job.fail(how);
      return;
    }
    if (how === "abort") counts.aborted++;
    else counts.finished++;
    const session = job.end(how);
    if (how === "abort") session?.free();
    else if (session) this.#prefixes.keep(job.realm, session);
  }

  /** Nothing runs any more: all are told. */
  #break(error: DeviceError): void {
    this.#broken = error;
    for (const job of [...this.#line.jobs, ...this.#batch.jobs]) this.#end(job, error);
  }
}
