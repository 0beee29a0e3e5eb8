/** The part of the browser's `Worker` that jax-js uses, over Node's worker_threads. */
import { resolveObjectURL } from "node:buffer";
import { Worker as Thread } from "node:worker_threads";

const prelude = `
const { parentPort } = require("node:worker_threads");
globalThis.self = globalThis;
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on("message", (data) => globalThis.onmessage({ data }));
`;

class BlobWorker {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onerror: ((error: Error) => void) | undefined;
  readonly #thread: Promise<Thread>;

  constructor(url: string) {
    this.#thread = this.#start(url);
  }

  postMessage(message: unknown): void {
    void this.#thread.then((thread) => thread.postMessage(message));
  }

  async #start(url: string): Promise<Thread> {
    const source = await resolveObjectURL(url)!.text();
    const thread = new Thread(prelude + source, { eval: true });
    thread.on("message", (data) => this.onmessage?.({ data }));
    thread.on("error", (error) => this.onerror?.(error as Error));
    return thread;
  }
}

/** Gives this process a global `Worker` and the number of threads a page would see. */
export function installWorker(threads: number): void {
  Object.assign(globalThis, { Worker: BlobWorker });
  Object.defineProperty(globalThis.navigator, "hardwareConcurrency", { value: threads });
}
