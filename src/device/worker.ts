// A worker of the wasm device: takes pieces of jobs until there will be none. Runs as a worker thread of Node and as a web
// worker; imports nothing, so that any bundler can carry it.

/** What a worker is started with. */
export interface Start {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Names of the kernels by index. */
  readonly kernels: readonly string[];
  readonly thread: number;
  /** Addresses of src/device/layout.ts: the job's arguments, the word that says a thread has trapped, the one that the host sleeps on. */
  readonly at: { readonly args: number; readonly over: number; readonly done: number };
}

type Kernel = (args: number, thread: number) => void;

function work({ module, memory, kernels, thread, at }: Start, ready: () => void): void {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const rest = exports.rest as (thread: number) => number;
  const table = kernels.map((name) => exports[name] as Kernel);
  const ints = new Int32Array(memory.buffer);
  // Where Node has its collector exposed: starting a thread has left 3 MiB behind, and this one makes nothing new.
  (globalThis as { gc?: (how: object) => void }).gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  ready();
  for (;;) {
    const kernel = table[rest(thread)];
    if (!kernel) return;
    try {
      kernel(at.args, thread);
    } catch {
      // A trap: the host must not wait for this thread, and reports it.
      Atomics.store(ints, at.over >> 2, 1);
      Atomics.notify(ints, at.done >> 2);
      return;
    }
  }
}

const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
if (node?.parentPort) {
  const port = node.parentPort;
  work(node.workerData as Start, () => port.postMessage("ready"));
} else if (typeof self !== "undefined") {
  self.onmessage = (event: MessageEvent<Start>) => work(event.data, () => self.postMessage("ready"));
}
