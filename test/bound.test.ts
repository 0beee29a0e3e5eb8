import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DeviceError } from "../src/tensor/error.ts";
import { awaitMessage, startBounded } from "../src/tokenizer/thread.ts";

// Threads that run programs of strangers: what they may take, and that a busy machine is not their fault.

let worker: Worker;
beforeEach(async () => {
  worker = await startBounded("./fixture/busy", import.meta.url, { memory: 32, stack: 4 });
});
afterEach(() => worker.terminate());

const ask = (order: object, seconds: number, patience = 300) =>
  awaitMessage(worker, { seconds, patience, missing: "no answer" }, () => worker.postMessage(order));

test("a thread that gets no time from the machine is waited for", async () => {
  await ask({}, 10);
  expect(await ask({ rest: 600 }, 0.1)).toBe("done");
});

test("one that works longer than it may is told, busy as it is", async () => {
  await expect(ask({ work: 600_000 }, 0.3)).rejects.toThrow(/^no answer in 0.3 s$/);
});

test("one that gets no time at all is no fault of its own", async () => {
  await ask({}, 10);
  const waited = ask({ rest: 60_000 }, 0.5, 1);
  await expect(waited).rejects.toThrow(DeviceError);
  await expect(waited).rejects.toThrow(/^thread: got 0\.\d s to work in within \d+ s, expected 0.5 s/);
});

test("memory is bounded, and an end is told", async () => {
  await expect(ask({ grow: true }, 60)).rejects.toThrow(/^more than 32 MB of memory$/);
  await expect(ask({}, 0.1)).rejects.toThrow(/^an end of its thread$/);
});
