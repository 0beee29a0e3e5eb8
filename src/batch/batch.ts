import { Session } from "../generate/session.ts";
import type { Speaker } from "../generate/text.ts";
import type { Finish } from "../generate/writer.ts";
import { DeviceError } from "../tensor/error.ts";
import { type CacheType, PAGE } from "../tensor/page.ts";
import type { Counts } from "./figures.ts";
import type { Job } from "./job.ts";
import type { Pace } from "./pace.ts";
import type { Prefixes, Source } from "./prefixes.ts";
import { keepMarked, partingOf, sourceOf } from "./reuse.ts";
import { type Amount, covers, type Room, sum, without } from "./room.ts";
import { shareOut } from "./share.ts";
import { type Entry, type Result, stepTogether } from "./step.ts";
import type { Store } from "./store.ts";

/** What became of the sequences of a step: those that ended, and those that gave their memory up and wait again. */
export interface Outcome {
  readonly ended: readonly (readonly [job: Job, how: Finish | Error])[];
  readonly paused: readonly Job[];
  /** Set where nothing can run any more. */
  readonly broken?: DeviceError | undefined;
}

/** What a batch works with. */
export interface Bench {
  readonly model: Speaker;
  readonly cache: CacheType;
  readonly room: Room;
  readonly prefixes: Prefixes;
  /** Prefixes in files, where they are kept. */
  store?: Store | undefined;
  readonly pace: Pace;
  readonly counts: Counts;
  /** Most sequences at once. */
  readonly slots: number;
}

/** Numbers of logits that a step makes at most for the scores of a prompt: 64 MiB in float32, however large the vocabulary. */
const SCORED_NUMBERS = 2 ** 24;
/** Steps after which one more may run, where fewer run since a step failed. */
const PATIENCE = 64;

/**
 * The sequences that run. One that begins takes memory for its prompt and no more: where those that write outgrow the memory, the
 * youngest gives its own up, waits, and later reads all its tokens again. The oldest never has to, so all come to their end.
 */
export class Batch {
  /** In the order in which they were asked for. */
  #jobs: Job[] = [];
  readonly #bench: Bench;
  readonly #loads = new Set<Promise<unknown>>();
  /** What a step gave to those of which it is not known yet what may follow: they sit out steps until it is. */
  readonly #held = new Map<Job, readonly [Entry, Result]>();
  /** Most that run now: fewer than the slots after a step that failed. */
  #wide: number;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#wide = bench.slots;
  }

  get jobs(): readonly Job[] {
    return this.#jobs;
  }

  /**
   * Lets it run where there is room beside the others, which may take the place of prefixes; "later" where it is to go on from what
   * another one is about to read, "full" where there is no room. Throws DeviceError where there is none for it alone.
   */
  begin(job: Job): "begun" | "later" | "full" {
    const { room, prefixes } = this.#bench;
    if (this.#jobs.length >= this.#wide) return "full";
    const { evictions } = prefixes;
    const source = sourceOf(job, this.#jobs, prefixes);
    if (source === "later" || this.#awaitsFile(job, source)) return "later";
    const { length } = job.tokens;
    const own = room.pages(pagesOf(length + 1) - pagesOf(source?.length ?? 0) + (source ? 1 : 0));
    const enough = this.#clear([own, room.state, room.snapshots(length), this.#promised].reduce(sum));
    if (!enough && this.#jobs.length) return "full";
    // What it was to go on from may have gone for it.
    if (prefixes.evictions > evictions) return this.begin(job);
    const session = this.#sessionFrom(source);
    if (!session) return "full";
    source?.use();
    const part = partingOf(job, source, prefixes);
    if (part !== undefined) job.mark(part);
    job.begin(session, source !== undefined);
    this.#jobs = [...this.#jobs, job].sort((a, b) => a.number - b.number);
    return "begun";
  }

  /** Whether a file is being read that it is to go on from: one that spares much more than what is there. */
  #awaitsFile(job: Job, source: Source | undefined): boolean {
    const { store, room, prefixes } = this.#bench;
    const found = job.scoring ? undefined : store?.find(job.realm, job.tokens);
    if (!store || !found || found.length < (source?.length ?? 0) + PAGE) return false;
    const { file } = found;
    if (store.isLoading(file)) return true;
    const { length } = file.tokens;
    // Once for each, since what is kept may have gone again before its turn.
    if (job.tried.has(file) || !room.holds(length) || !this.#clear(sum(room.need(length), this.#promised)))
      return false;
    job.tried.add(file);
    const loading = store.load(file).then((session) => session && prefixes.keep(job.realm, session));
    this.#loads.add(loading);
    void loading.finally(() => this.#loads.delete(loading));
    return true;
  }

  /** What those that run will still take to come to the end of what they read. */
  get #promised(): Amount {
    return this.#jobs.map((job) => this.#growth(job, job.tokens.length)).reduce(sum, this.#bench.room.pages(0));
  }

  /** Comes once no file is being read. */
  async settle(): Promise<void> {
    while (this.#loads.size) await Promise.all(this.#loads);
  }

  /** Whether files are being read. */
  get loading(): boolean {
    return this.#loads.size > 0;
  }

  /** Whether all that run wait for what may follow. */
  get held(): boolean {
    return this.#jobs.length > 0 && this.#held.size === this.#jobs.length;
  }

  /** Takes one out; its session is its own to give back. */
  leave(job: Job): void {
    this.#held.delete(job);
    this.#jobs = this.#jobs.filter((one) => one !== job);
  }

  /** One step of all that run. */
  async step(): Promise<Outcome> {
    const { pace, counts, prefixes } = this.#bench;
    const ended: [Job, Finish | Error][] = [];
    const follow = (job: Job, entry: Entry, result: Result) => {
      const how = goOn(job, entry, result);
      if (how === "held") this.#held.set(job, [entry, result]);
      if (how === "held" || how === undefined) return;
      this.leave(job);
      ended.push([job, how]);
    };
    for (const [job, [entry, result]] of this.#held)
      if (job.ready && this.#held.delete(job)) follow(job, entry, result);
    const [plan, paused] = this.#makeRoom();
    if (!plan.size) return { ended, paused };
    const entries = [...plan.values()];
    const writers = [...plan.keys()].filter((job) => job.writing).length;
    const read = entries.reduce((all, { ids }) => all + ids.length, 0) - writers;
    const begun = performance.now();
    let results: Result[];
    try {
      results = await stepTogether(entries, this.#bench.model.model.vocabulary);
    } catch (error) {
      const outcome = await this.#recover(error as Error, paused);
      return { ...outcome, ended: [...ended, ...outcome.ended] };
    }
    const seconds = (performance.now() - begun) / 1000;
    pace.note(writers, read, seconds);
    counts.step(plan.size, seconds);
    counts.tokensRead += read;
    if (counts.steps % PATIENCE === 0 && this.#wide < this.#bench.slots) this.#wide++;
    for (const [i, [job, entry]] of [...plan].entries()) {
      job.forked = false;
      keepMarked(job, prefixes);
      if (entry.logits !== "none" && !job.ready) this.#held.set(job, [entry, results[i]!]);
      else follow(job, entry, results[i]!);
    }
    return { ended, paused };
  }

  /** What each brings to the next step: one token of each that writes, pieces of the prompts of the others. */
  #plan(): Map<Job, Entry> {
    const { pace, model } = this.#bench;
    const jobs = this.#jobs.filter((job) => !this.#held.has(job));
    const readers = jobs.filter((job) => !job.writing);
    const budget = pace.budget(jobs.length - readers.length);
    const shares = shareOut(
      readers.map((job) => job.left),
      budget,
    );
    const scored = Math.max(1, Math.floor(SCORED_NUMBERS / model.model.vocabulary));
    const plan = new Map<Job, Entry>();
    for (const job of jobs) {
      const most = job.writing ? 1 : shares[readers.indexOf(job)]!;
      if (most) plan.set(job, job.entry(job.scoring ? Math.min(most, scored) : most));
    }
    return plan;
  }

  /** A session that goes on from another, or a new one; undefined where there is no memory for it. */
  #sessionFrom(source: Source | undefined): Session | undefined {
    try {
      if (!source) return this.#newSession();
      const session = source.session.fork();
      session.rewind(source.length);
      return session;
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      // Another time, then: with fewer prefixes, or once others have ended.
      if (!this.#bench.prefixes.evict() && !this.#jobs.length) throw error;
      return undefined;
    }
  }

  #newSession(): Session {
    const { model, cache } = this.#bench;
    return new Session(model.model, model.weights, { cache, machine: model.machine });
  }

  /** Sees to it that so much is free; prefixes go for it, but none where all together are not enough. */
  #clear(need: Amount): boolean {
    const { room, prefixes } = this.#bench;
    if (covers(room.free, need)) return true;
    // What is shared counts several times: there may be more to gain.
    const running = this.#jobs.map(({ session }) => room.taken(session!.length)).reduce(sum, room.pages(0));
    if (this.#jobs.length && !covers(sum(room.free, without(room.held, running)), need)) return false;
    while (!covers(room.free, need)) if (!prefixes.evict()) return false;
    return true;
  }

  /** A plan that there is room for, and those that gave theirs up for it: the youngest first, never the last one. */
  #makeRoom(): [Map<Job, Entry>, Job[]] {
    const { room } = this.#bench;
    const paused: Job[] = [];
    for (;;) {
      const plan = this.#plan();
      const need = [...plan].map(([job, { ids }]) => this.#growth(job, job.session!.length + ids.length));
      if (this.#clear(need.reduce(sum, room.pages(0))) || this.#jobs.length < 2) return [plan, paused];
      paused.unshift(this.#pause(this.#jobs.at(-1)!));
    }
  }

  #pause(job: Job): Job {
    job.pause();
    this.leave(job);
    this.#bench.counts.paused++;
    return job;
  }

  /** What a sequence takes in further pages to grow to so many tokens. */
  #growth({ session, forked }: Job, tokens: number): Amount {
    return this.#bench.room.pages(Math.max(0, pagesOf(tokens) - pagesOf(session!.length)) + (forked ? 1 : 0));
  }

  /**
   * After a step that failed: all give their sessions up and read again, half as many at once. One that fails alone a second time is
   * told. Where the device runs nothing any more, all are.
   */
  async #recover(error: Error, before: readonly Job[]): Promise<Outcome> {
    const jobs = this.#jobs;
    const paused = [...jobs.map((job) => this.#pause(job)), ...before];
    this.#bench.prefixes.clear();
    // Twice: memory that is short for a moment is no device that has failed.
    const broken = (await this.#probe()) && (await this.#probe());
    if (broken) return { ended: [], paused, broken };
    this.#wide = Math.max(1, Math.floor(jobs.length / 2));
    // What is no DeviceError would come again.
    const alone = jobs.length === 1 && jobs[0]!.failures++ > 0;
    const told = alone || !(error instanceof DeviceError) ? jobs : [];
    return { ended: told.map((job) => [job, error] as const), paused: paused.filter((job) => !told.includes(job)) };
  }

  /** Whether a token runs through the model: the error where none does. */
  async #probe(): Promise<DeviceError | undefined> {
    try {
      const session = this.#newSession();
      try {
        const logits = session.append(Int32Array.of(0));
        try {
          await logits.read();
        } finally {
          logits.free();
        }
      } finally {
        session.free();
      }
      return undefined;
    } catch (error) {
      const { message } = error as Error;
      const got = `engine: got a device that has failed (${message}), expected one that runs; load the model again`;
      return new DeviceError(got, { cause: error });
    }
  }
}

const pagesOf = (tokens: number) => Math.ceil(tokens / PAGE);

/** Goes on by a step's logits; an error is this sequence's alone. */
function goOn(job: Job, entry: Entry, result: Result): Finish | "held" | Error | undefined {
  try {
    return job.go(entry, result);
  } catch (error) {
    return error as Error;
  }
}
