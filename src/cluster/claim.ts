/**
 * Who is at work on a run, so that no two machines do it at the same time. Claims are numbered files, each made once, and the
 * highest holds; its owner's beats move a second file. No clock of one machine is compared with that of another: who wants a claimed
 * run watches on its own clock whether the beats move.
 */
import { readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { DeviceError } from "../tensor/error.ts";
import { parseStored, type Store } from "./store.ts";

/** Seconds between beats, and how many of them may fail to come before a claim counts as given up. */
const BEAT = 5;
const PATIENCE = 12;
/** Times that beats are looked for in that time. */
const LOOKS = 20;

const claimSchema = z.object({ host: z.string(), space: z.string().nullable(), pid: z.int() });
const beatSchema = z.object({
  beats: z.int(),
  step: z.int(),
  steps: z.int(),
  loss: z.number().nullable(),
  released: z.boolean(),
});

/** Where a run stands, as its owner last told. */
export type Beat = z.infer<typeof beatSchema>;

/** Times that tests shorten. */
export interface Pulse {
  readonly beat: number;
  readonly patience: number;
}

/** Among whose processes ours has its number; null where the system does not say. Two containers of one host have one name, and two of these. */
const space = await readlink("/proc/self/ns/pid").catch(() => null);

/** A run that is this process's to do, until it is released or taken over. */
export class Claim {
  #beats = 0;
  #told: Omit<Beat, "beats" | "released"> = { step: 0, steps: 0, loss: null };
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #store: Store;
  readonly #key: string;
  readonly #number: number;
  /** Aborts where another has taken the run over, since this process was thought dead. */
  readonly #lost = new AbortController();

  private constructor(store: Store, key: string, number: number, beat: number) {
    [this.#store, this.#key, this.#number] = [store, key, number];
    this.#timer = setInterval(() => this.#send(false), 1000 * beat);
    this.#timer.unref();
  }

  /**
   * Takes a run. `tell` hears that it is taken over from somebody who gave no sign of life.
   * Throws DeviceError where somebody else is at work on it.
   */
  static async take(
    store: Store,
    key: string,
    tell: (note: string) => void,
    { beat, patience }: Pulse = { beat: BEAT, patience: BEAT * PATIENCE },
  ): Promise<Claim> {
    const number = await lastClaim(store, key);
    if (number > 0) await expectDead(store, key, number, tell, patience);
    const made = await store.create(
      `${key}/claim-${number + 1}.json`,
      JSON.stringify({ host: hostname(), space, pid: process.pid }),
    );
    if (!made)
      throw new DeviceError(
        `${key}: got a run that another process has just taken, expected a free one; nothing is lost`,
      );
    const claim = new Claim(store, key, number + 1, beat);
    await claim.#send(false);
    return claim;
  }

  /** Says where the run stands; it goes out with the next beat. */
  stand(step: number, steps: number, loss: number | undefined): void {
    this.#told = { step, steps, loss: loss !== undefined && Number.isFinite(loss) ? loss : null };
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Gives the run back, done or not, so that nobody waits for beats. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    if (!this.#lost.signal.aborted) await this.#send(true);
  }

  /** One after the other; what a store refuses now it may take with the next beat. */
  #send(released: boolean): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const beat: Beat = { ...this.#told, beats: ++this.#beats, released };
      try {
        await this.#store.write(beatName(this.#key, this.#number), JSON.stringify(beat));
        if ((await lastClaim(this.#store, this.#key)) > this.#number) this.#lost.abort();
      } catch {}
    });
    return this.#writing;
  }
}

/** The latest beat of a run; undefined where nobody has begun it. */
export async function readBeat(store: Store, key: string): Promise<Beat | undefined> {
  const number = await lastClaim(store, key);
  return number === 0 ? undefined : parseStored(beatSchema, await store.read(beatName(key, number)));
}

const beatName = (key: string, number: number) => `${key}/beat-${number}.json`;

async function lastClaim(store: Store, key: string): Promise<number> {
  const numbers = (await store.list(`${key}/claim-`)).map((name) =>
    Number(/claim-(\d{1,9})\.json$/.exec(name)?.[1] ?? 0),
  );
  return Math.max(0, ...numbers);
}

async function expectDead(
  store: Store,
  key: string,
  number: number,
  tell: (note: string) => void,
  patience: number,
): Promise<void> {
  const last = () => store.read(beatName(key, number)).then((bytes) => parseStored(beatSchema, bytes));
  const before = await last();
  if (before?.released) return;
  const owner = parseStored(claimSchema, await store.read(`${key}/claim-${number}.json`));
  const who = owner ? `process ${owner.pid} on ${owner.host}` : "a process that left no name";
  const here = owner?.host === hostname() && owner.space === space && space !== null;
  if (!(here && !isAlive(owner.pid))) {
    tell(`${key}: ${who} has begun it; waiting ${patience} s for a sign of life`);
    for (let look = 0; look < LOOKS; look++) {
      await wait((1000 * patience) / LOOKS);
      const now = await last();
      if (now?.released) return;
      if (now?.beats !== before?.beats)
        throw new DeviceError(
          `${key}: got a run that ${who} is at work on, expected a free one; wait for it, or end that process`,
        );
    }
  }
  tell(`${key}: taken over from ${who}, which gave no sign of life`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
