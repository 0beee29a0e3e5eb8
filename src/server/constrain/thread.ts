import type { Worker } from "node:worker_threads";
import type { Constraint } from "../../generate/writer.ts";
import { DeviceError, FormatError } from "../../tensor/error.ts";
import type { Numbers } from "../../tensor/tensor.ts";
import { awaitMessage, startBounded } from "../../tokenizer/thread.ts";
import { type Answer, COUNT, HEAD, type Order, STATE, type Task } from "./order.ts";
import { WHOLE, walk } from "./utf8.ts";
import { pieceOf } from "./vocabulary.ts";

/** Of the seconds of work that a grammar may take, how many times as many may pass on a machine that is busy. */
const PATIENCE = 6;
/**
 * Milliseconds that may pass before one mask is there: 5 s of work, where a machine is not busy. Nobody but its own sequence waits, which
 * sits out steps meanwhile.
 */
const MASK_LIMIT = PATIENCE * 5_000;
/** Seconds in which a thread is to have forgotten a grammar, and bytes that its library may have then, to be kept for the next. */
const CLEARING = 0.1;
const KEPT_BYTES = 128 * 2 ** 20;

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

/** A thread without a grammar, for the next one: starting one takes longer than compiling most. */
let spare: Promise<Worker | undefined> | undefined;

async function takeWorker(): Promise<Worker> {
  const kept = spare;
  spare = undefined;
  const worker = await kept;
  // One that has ended meanwhile has no number.
  if (worker && worker.threadId >= 0) return worker;
  return startBounded("./work", import.meta.url, { memory: 256, stack: 16 });
}

/** Keeps a thread for the next grammar, where there is none yet and it forgets its own at once. */
function keepWorker(worker: Worker): void {
  if (spare) {
    void worker.terminate();
    return;
  }
  const order: Order = { kind: "clear" };
  const wait = { seconds: CLEARING, patience: PATIENCE * CLEARING, missing: "none cleared" };
  const cleared = awaitMessage<Answer>(worker, wait, () => worker.postMessage(order)).then(
    (answer) => answer.kind === "cleared" && answer.bytes <= KEPT_BYTES,
    () => false,
  );
  const kept = cleared.then((fit) => {
    if (fit) return worker;
    void worker.terminate();
    if (spare === kept) spare = undefined;
    return undefined;
  });
  spare = kept;
}

/**
 * Compiles a grammar in a thread that has no other: it is a program from a stranger, which may take any time and memory, and stops
 * nobody else, in so many seconds. The thread works out what may follow a token while the model runs, so that masks cost hardly
 * anything. Closed in good order, it is kept for the next grammar.
 *
 * Errors: FormatError for a grammar that the library does not take, or that takes too much time or memory; DeviceError where the machine
 * gives it no time.
 */
export async function startThread(task: Task, seconds: number): Promise<Thread> {
  const worker = await takeWorker();
  try {
    await awaitCompiled(worker, task, seconds);
  } catch (error) {
    void worker.terminate();
    throw error;
  }
  let last = 0;
  let alive = true;
  const open = new Set<number>();
  // Once it has ended here it may be another's.
  const end = () => {
    if (alive) void worker.terminate();
    alive = false;
  };
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const exit = () => {
    alive = false;
    resolve();
  };
  worker.once("exit", exit);
  const tell = (order: Order) => {
    if (alive) worker.postMessage(order);
  };
  return {
    start() {
      const id = last++;
      open.add(id);
      const shared = new Int32Array(new SharedArrayBuffer(4 * (HEAD + Math.ceil(task.size / 32))));
      tell({ kind: "open", id, shared });
      const sequence = new Sequence(task, shared, () => alive, end);
      return {
        mask: (logits) => sequence.mask(logits),
        accept(token) {
          sequence.expect(token);
          tell({ kind: "accept", id, token });
        },
        get ready() {
          return sequence.ready;
        },
        get done() {
          return sequence.done;
        },
        endless: task.end.length === 0,
        free() {
          if (open.delete(id)) tell({ kind: "free", id });
        },
      };
    },
    get count() {
      return open.size;
    },
    ended,
    close() {
      if (!alive) return;
      exit();
      worker.off("exit", exit);
      keepWorker(worker);
    },
  };
}

/** Waits until a thread has compiled a grammar. */
async function awaitCompiled(worker: Worker, task: Task, seconds: number): Promise<void> {
  const refuse = (got: string) =>
    new FormatError(`constraint: got ${got.slice(0, 300)}, expected a grammar that can be compiled; make it simpler`);
  const order: Order = { kind: "compile", task };
  const wait = { seconds, patience: PATIENCE * seconds, missing: "none compiled" };
  const answer = await awaitMessage<Answer>(worker, wait, () => worker.postMessage(order)).catch((error) => {
    throw error instanceof DeviceError ? error : refuse(error.message);
  });
  if (answer.kind === "failed") throw refuse(`"${answer.reason}"`);
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
