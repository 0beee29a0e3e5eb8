import type { Worker } from "node:worker_threads";
import type { Constraint } from "../../generate/writer.ts";
import { DeviceError, FormatError } from "../../tensor/error.ts";
import type { Numbers } from "../../tensor/tensor.ts";
import { awaitMessage, startBounded } from "../../tokenizer/thread.ts";
import { type Answer, COUNT, HEAD, type Order, STATE, type Task } from "./order.ts";
import { WHOLE, walk } from "./utf8.ts";
import { pieceOf } from "./vocabulary.ts";

/** Milliseconds that one mask may take. */
const MASK_LIMIT = 5_000;
/** Of the seconds of work that a grammar may take, how many times as many may pass on a machine that is busy. */
const PATIENCE = 6;

/** A thread that holds one compiled grammar, for any number of sequences. */
export interface Thread {
  /** A sequence at the grammar's beginning. */
  start(): Constraint;
  /** Sequences that are not freed. */
  readonly count: number;
  /** Comes when the thread has ended, by whatever: no sequence can be started any longer. */
  readonly ended: Promise<void>;
  close(): void;
}

/**
 * Compiles a grammar in a thread of its own: it is a program from a stranger, which may take any time and memory, and stops nobody
 * else, in so many seconds. The thread works out what may follow a token while the model runs, so that masks cost hardly anything.
 *
 * Errors: FormatError for a grammar that the library does not take, or that takes too much time or memory; DeviceError where the machine
 * gives it no time.
 */
export async function startThread(task: Task, seconds: number): Promise<Thread> {
  const worker = await startBounded("./work", import.meta.url, { memory: 256, stack: 16 }, task);
  try {
    await awaitCompiled(worker, seconds);
  } catch (error) {
    void worker.terminate();
    throw error;
  }
  let last = 0;
  let alive = true;
  const open = new Set<number>();
  const end = () => {
    alive = false;
    void worker.terminate();
  };
  const ended = new Promise<void>((resolve) => {
    worker.on("exit", () => {
      alive = false;
      resolve();
    });
  });
  return {
    start() {
      const id = last++;
      open.add(id);
      const shared = new Int32Array(new SharedArrayBuffer(4 * (HEAD + Math.ceil(task.size / 32))));
      worker.postMessage({ kind: "open", id, shared } satisfies Order);
      const sequence = new Sequence(task, shared, () => alive, end);
      return {
        mask: (logits) => sequence.mask(logits),
        accept(token) {
          sequence.expect(token);
          worker.postMessage({ kind: "accept", id, token } satisfies Order);
        },
        get ready() {
          return sequence.ready;
        },
        get done() {
          return sequence.done;
        },
        endless: task.end.length === 0,
        free() {
          if (open.delete(id)) worker.postMessage({ kind: "free", id } satisfies Order);
        },
      };
    },
    get count() {
      return open.size;
    },
    ended,
    close: end,
  };
}

/** Waits until a thread has compiled its grammar. */
async function awaitCompiled(worker: Worker, seconds: number): Promise<void> {
  const refuse = (got: string) =>
    new FormatError(`constraint: got ${got.slice(0, 300)}, expected a grammar that can be compiled; make it simpler`);
  const answer = await awaitMessage<Answer>(worker, {
    seconds,
    patience: PATIENCE * seconds,
    missing: "none compiled",
  }).catch((error) => {
    throw error instanceof DeviceError ? error : refuse(error.message);
  });
  if (answer.kind !== "ready") throw refuse(`"${answer.reason}"`);
}

/** What a thread tells of one sequence, waited for where it is asked. */
class Sequence {
  readonly #task: Task;
  readonly #shared: Int32Array;
  readonly #alive: () => boolean;
  readonly #end: () => void;
  /** How many times the thread is to have told what may follow. */
  #expected = 1;
  #ended = false;
  /** When it was first asked for what may follow now. */
  #asked: number | undefined;
  /** Where in a character the text is. */
  #place = WHOLE;

  constructor(task: Task, shared: Int32Array, alive: () => boolean, end: () => void) {
    this.#task = task;
    this.#shared = shared;
    this.#alive = alive;
    this.#end = end;
  }

  expect(token: number): void {
    if (this.#task.end.includes(token)) this.#ended = true;
    this.#expected++;
    this.#asked = undefined;
    this.#place = Math.max(WHOLE, walk(this.#place, pieceOf(this.#task, token)));
  }

  /** Whether nothing may follow though no end token was drawn; known without waiting where there are end tokens. */
  get done(): boolean {
    if (this.#ended || this.#task.end.length) return this.#ended;
    return this.#wait() === STATE.done;
  }

  mask(logits: Numbers): void {
    const { size } = this.#task;
    if (logits.length !== size)
      throw new FormatError(`constraint: got ${logits.length} logits, expected ${size}, for which it was made`);
    const state = this.#wait();
    if (state === STATE.refused)
      throw new DeviceError(
        "constraint: got a token that the grammar does not have, expected one that its mask allows",
      );
    for (let id = 0; id < size; id++)
      if (!((this.#shared[HEAD + (id >> 5)]! >> (id & 31)) & 1)) logits[id] = Number.NEGATIVE_INFINITY;
    for (const id of this.#task.parts)
      if (walk(this.#place, pieceOf(this.#task, id)) < 0) logits[id] = Number.NEGATIVE_INFINITY;
  }

  /** Whether `mask` answers at once, be it with an error. */
  get ready(): boolean {
    return Atomics.load(this.#shared, COUNT) >= this.#expected || this.#left <= 0 || !this.#alive();
  }

  /** Milliseconds that the thread still has. */
  get #left(): number {
    this.#asked ??= performance.now();
    return this.#asked + MASK_LIMIT - performance.now();
  }

  #wait(): number {
    for (;;) {
      const count = Atomics.load(this.#shared, COUNT);
      if (count >= this.#expected) return Atomics.load(this.#shared, 1);
      const left = this.#left;
      if (left <= 0 || !this.#alive()) {
        this.#end();
        throw new DeviceError(
          `constraint: got no answer of its thread in ${MASK_LIMIT / 1000} s, expected one; make it simpler`,
        );
      }
      Atomics.wait(this.#shared, COUNT, count, Math.min(left, 100));
    }
  }
}
