import { DeviceError } from "../tensor/error.ts";
import { Crew } from "./crew.ts";
import { ARGUMENTS, DONE, JOB, KERNEL, OVER, THREADS } from "./layout.ts";
import type { Start } from "./worker.ts";

/** What the pool needs of a worker of either kind. */
interface Thread {
  /** Whether it has ended, as far as can be told without awaiting anything. */
  ended(): boolean;
  /** Calls `tell` once it ends, in a turn of the event loop of its own. */
  onEnd(tell: () => void): void;
  stop(): void;
}

/** A kernel: arguments' address, this thread's number. */
type Kernel = (args: number, thread: number) => void;

/** Looks at silent workers, each after PATIENCE (thread.as.ts), before a worker that seems alive is given up: a minute. */
const LOOKS = 600;

/** Runs kernels of one wasm module on this thread and on workers that share its memory. */
export class Pool {
  readonly threads: number;
  readonly #kernels = new Map<string, { run: Kernel; index: number }>();
  readonly #finish: () => number;
  readonly #ints: Int32Array;
  readonly #args: Float64Array;
  readonly #workers: readonly Thread[];
  /** Chooses how many threads a launch gets, where nobody else does. */
  readonly #crew: Crew | undefined;
  /** Why nothing runs any longer. */
  #failure: DeviceError | undefined;

  private constructor(
    instance: WebAssembly.Instance,
    memory: WebAssembly.Memory,
    workers: readonly Thread[],
    threads: "all" | "observed",
  ) {
    this.threads = workers.length + 1;
    this.#crew = threads === "observed" && workers.length ? new Crew(this.threads) : undefined;
    this.#workers = workers;
    kernelNames(instance).forEach((name, index) => {
      this.#kernels.set(name, { run: instance.exports[name] as Kernel, index });
    });
    this.#finish = instance.exports.finish as () => number;
    // A shared buffer stays valid when the memory grows.
    this.#ints = new Int32Array(memory.buffer);
    this.#args = new Float64Array(memory.buffer, ARGUMENTS);
    for (const worker of workers) worker.onEnd(() => this.#stop(failureOf("a worker that ended between kernels")));
  }

  /**
   * Starts `threads - 1` workers and returns once they are ready. Launches are shared by all threads, or by as many as were
   * observed to be the fastest. Throws DeviceError where a worker cannot start.
   */
  static async start(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    threads: number,
    use: "all" | "observed",
  ): Promise<Pool> {
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    const starting = Array.from({ length: threads - 1 }, (_, i) =>
      startWorker({
        module,
        memory,
        kernels: kernelNames(instance),
        thread: i + 1,
        at: { args: ARGUMENTS, over: OVER, done: DONE },
      }),
    );
    const started = await Promise.allSettled(starting);
    const workers = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const refused = started.find((one) => one.status === "rejected");
    if (!refused) return new Pool(instance, memory, workers, use);
    for (const worker of workers) worker.stop();
    throw refused.reason;
  }

  /**
   * Runs a kernel, or several one after the other over the same arguments, and returns when all is done: on this thread alone
   * if `threads` is 1, else on as many as the pool gives it. Throws DeviceError where a thread traps or has ended; nothing
   * runs after that.
   */
  launch(kernels: string | readonly string[], args: readonly number[], threads?: number): void {
    if (this.#failure) throw this.#failure;
    for (let i = 0; i < args.length; i++) this.#args[i] = args[i]!;
    const crew = threads === 1 ? undefined : this.#crew;
    const first = this.#kernel(typeof kernels === "string" ? kernels : kernels[0]!);
    this.#ints[THREADS >> 2] = crew ? crew.begin(first.index, args) : Math.min(threads ?? this.threads, this.threads);
    if (typeof kernels === "string") this.#run(kernels);
    else for (const kernel of kernels) this.#run(kernel);
    crew?.end();
  }

  /** What a function of the module says of the machine that it runs on. */
  ask(name: string): number {
    return (this.#kernel(name).run as unknown as () => number)();
  }

  #kernel(name: string) {
    const found = this.#kernels.get(name);
    if (!found) throw new DeviceError(`internal: kernel got "${name}", expected the name of one`);
    return found;
  }

  #run(kernel: string): void {
    const found = this.#kernel(kernel);
    this.#ints[KERNEL >> 2] = found.index;
    try {
      found.run(ARGUMENTS, 0);
    } catch (error) {
      this.#fail(`a trap in kernel ${kernel} (${(error as Error).message})`);
    }
    for (let looks = 0; !this.#finish(); looks++) {
      if (Atomics.load(this.#ints, OVER >> 2)) this.#fail(`a trap of a worker in kernel ${kernel}`);
      if (this.#workers.some((worker) => worker.ended())) this.#fail(`a worker that ended in kernel ${kernel}`);
      if (looks === LOOKS) this.#fail(`a worker that does not answer in kernel ${kernel}`);
    }
  }

  #fail(got: string): never {
    this.#stop(failureOf(got));
    throw this.#failure;
  }

  /** Ends the workers. */
  close(): void {
    this.#stop(new DeviceError("wasm device: got a launch after close, expected none; open another device"));
  }

  /** Ends the workers; launches throw `failure`, unless there was one before. */
  #stop(failure: DeviceError): void {
    if (this.#failure) return;
    this.#failure = failure;
    Atomics.store(this.#ints, OVER >> 2, 1);
    Atomics.add(this.#ints, JOB >> 2, 1);
    Atomics.notify(this.#ints, JOB >> 2);
    for (const worker of this.#workers) worker.stop();
  }
}

function failureOf(got: string): DeviceError {
  return new DeviceError(
    `wasm threads: got ${got}, expected every thread to run to the end; start again, with one thread if it repeats`,
  );
}

/** Names of a module's kernels, in one order for all threads. */
function kernelNames(instance: WebAssembly.Instance): string[] {
  return Object.keys(instance.exports).sort();
}

/** Number of threads this machine can run at once. */
export function availableThreads(): number {
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

async function startWorker(start: Start): Promise<Thread> {
  const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
  try {
    if (!node) {
      // Written out as a literal: bundlers find the worker by this pattern.
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      await new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = reject;
        worker.postMessage(start);
      });
      // A page is not told that a worker has ended, unless by an error that it did not catch.
      let failed = false;
      worker.onerror = () => {
        failed = true;
      };
      return { ended: () => failed, onEnd: () => {}, stop: () => worker.terminate() };
    }
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new node.Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: start,
      execArgv: [],
    });
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    // An idle worker must not keep the process alive.
    worker.unref();
    // The one thing that Node tells of a worker without a turn of the event loop: a stopped one is idle for -1 ms. It must
    // have been asked once while the worker ran, when it notes the start.
    const ended = () => worker.performance.eventLoopUtilization().idle < 0;
    ended();
    return { ended, onEnd: (tell) => void worker.once("exit", tell), stop: () => void worker.terminate() };
  } catch (error) {
    throw new DeviceError(`wasm threads: a worker did not start (${(error as Error).message}); open with threads: 1`);
  }
}
