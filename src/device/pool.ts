import { DeviceError } from "../tensor/error.ts";
import { ARGUMENTS, FAILED, FINISHED, JOB, KERNEL, SLEEPING, THREADS, TICKET } from "./layout.ts";
import type { Start } from "./worker.ts";

/** What the pool needs of a worker of either kind. */
interface Thread {
  stop(): void;
}

/** A kernel: arguments' address, this thread's number, number of threads. */
type Kernel = (args: number, thread: number, threads: number) => void;

/** Runs kernels of one wasm module on this thread and on workers that share its memory. */
export class Pool {
  readonly threads: number;
  readonly #kernels = new Map<string, { run: Kernel; index: number }>();
  readonly #gather: (workers: number) => void;
  readonly #ints: Int32Array;
  readonly #args: Float64Array;
  readonly #workers: readonly Thread[];
  #failed = false;

  private constructor(instance: WebAssembly.Instance, memory: WebAssembly.Memory, workers: readonly Thread[]) {
    this.threads = workers.length + 1;
    this.#workers = workers;
    kernelNames(instance).forEach((name, index) => {
      this.#kernels.set(name, { run: instance.exports[name] as Kernel, index });
    });
    this.#gather = instance.exports.gather as (workers: number) => void;
    // A shared buffer stays valid when the memory grows.
    this.#ints = new Int32Array(memory.buffer);
    this.#args = new Float64Array(memory.buffer, ARGUMENTS);
  }

  /** Starts `threads - 1` workers and returns once they are ready. Throws DeviceError where one cannot start. */
  static async start(module: WebAssembly.Module, memory: WebAssembly.Memory, threads: number): Promise<Pool> {
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    const workers = Array.from({ length: threads - 1 }, (_, i) =>
      startWorker({
        module,
        memory,
        kernels: kernelNames(instance),
        thread: i + 1,
        words: { kernel: KERNEL >> 2, threads: THREADS >> 2, failed: FAILED >> 2, job: JOB >> 2 },
        args: ARGUMENTS,
      }),
    );
    return new Pool(instance, memory, await Promise.all(workers));
  }

  /** Runs `kernel` on at most `threads` threads, this one included, and returns when all are done. */
  launch(kernel: string, args: readonly number[], threads = this.threads): void {
    const found = this.#kernels.get(kernel);
    if (!found || this.#failed)
      throw new DeviceError(`internal: kernel ${kernel} ${found ? "after a trap" : "unknown"}`);
    for (let i = 0; i < args.length; i++) this.#args[i] = args[i]!;
    const ints = this.#ints;
    ints[TICKET >> 2] = 0;
    const alone = threads <= 1 || this.threads === 1;
    try {
      if (alone) {
        found.run(ARGUMENTS, 0, 1);
        return;
      }
      const used = Math.min(threads, this.threads);
      ints[KERNEL >> 2] = found.index;
      ints[THREADS >> 2] = used;
      this.#publish();
      found.run(ARGUMENTS, 0, used);
      this.#gather(this.threads - 1);
    } catch (error) {
      this.#failed = true;
      Atomics.store(ints, FAILED >> 2, 1);
      throw new DeviceError(`internal: kernel ${kernel} trapped (${(error as Error).message})`);
    }
  }

  /** Ends the workers. */
  close(): void {
    this.#failed = true;
    this.#ints[KERNEL >> 2] = -1;
    this.#publish();
    for (const worker of this.#workers) worker.stop();
  }

  #publish(): void {
    const ints = this.#ints;
    Atomics.store(ints, FINISHED >> 2, 0);
    Atomics.add(ints, JOB >> 2, 1);
    if (Atomics.load(ints, SLEEPING >> 2) > 0) Atomics.notify(ints, JOB >> 2);
  }
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
      return { stop: () => worker.terminate() };
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
    return { stop: () => void worker.terminate() };
  } catch (error) {
    throw new DeviceError(`wasm threads: a worker did not start (${(error as Error).message}); open with threads: 1`);
  }
}
