// A thread of the wasm device: waits for a job, runs its kernel, says that it is done. Runs as a worker thread of Node and
// as a web worker; imports nothing, so that any bundler can carry it.

/** What a worker is started with. */
export interface Start {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Names of the kernels, by job number. */
  readonly kernels: readonly string[];
  readonly thread: number;
  /** Word indices of src/device/layout.ts. */
  readonly words: { readonly kernel: number; readonly threads: number; readonly failed: number; readonly job: number };
  readonly args: number;
}

type Kernel = (args: number, thread: number, threads: number) => void;

function work({ module, memory, kernels, thread, words, args }: Start, ready: () => void): void {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const { rest, finish } = exports as { rest: (last: number) => number; finish: () => void };
  const table = kernels.map((name) => exports[name] as Kernel);
  const ints = new Int32Array(memory.buffer);
  let job = Atomics.load(ints, words.job);
  ready();
  for (;;) {
    const next = rest(job);
    if (next === job) continue;
    job = next;
    const kernel = table[ints[words.kernel]!];
    if (!kernel) return;
    const threads = ints[words.threads]!;
    try {
      if (thread < threads) kernel(args, thread, threads);
    } catch {
      // A trap: the others must not wait for this thread, and the host reports it.
      Atomics.store(ints, words.failed, 1);
      return;
    }
    finish();
  }
}

const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
if (node?.parentPort) {
  const port = node.parentPort;
  work(node.workerData as Start, () => port.postMessage("ready"));
} else if (typeof self !== "undefined") {
  self.onmessage = (event: MessageEvent<Start>) => work(event.data, () => self.postMessage("ready"));
}
