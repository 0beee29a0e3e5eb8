import { Worker } from "node:worker_threads";
import type { TargetName } from "./target.ts";

/** What a worker has to do. `begun[0]` is the seed of the case it is at. */
export interface Job {
  readonly target: TargetName;
  readonly seed: number;
  readonly cases: number;
  readonly begun: Float64Array;
}

/** How far it is. */
export interface News {
  cases: number;
  accepted: number;
  failure?: string;
  done?: true;
}

/** Milliseconds that a case may take, however slow the machine; megabytes of a worker's heap. */
const CASE_LIMIT = 600_000;
const HEAP_LIMIT = 512;

/**
 * Reads hurt files in a thread of its own: `cases` of them, or as many as the time allows. Case i is made from seed + i alone.
 *
 * @returns how many there were, and the first failure: an untyped error, a broken promise, a case without end, or one that
 * takes all memory.
 */
export function fuzz({
  target,
  seed,
  cases = Number.POSITIVE_INFINITY,
  milliseconds = Number.POSITIVE_INFINITY,
  watch,
}: {
  target: TargetName;
  seed: number;
  cases?: number;
  milliseconds?: number;
  watch?: (news: News) => void;
}): Promise<News> {
  const begun = new Float64Array(new SharedArrayBuffer(8));
  const job: Job = { target, seed, cases, begun };
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: job,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT },
  });
  return new Promise((resolve) => {
    const start = performance.now();
    let last: News = { cases: 0, accepted: 0 };
    let heard = start;
    const end = (news: News) => {
      clearInterval(timer);
      void worker.terminate().then(() => resolve(news));
    };
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - heard > CASE_LIMIT) end({ ...last, failure: `seed ${begun[0]}: no end after ${CASE_LIMIT / 1000} s` });
      else if (now - start > milliseconds) end(last);
    }, 100);
    worker.on("message", (news: News) => {
      heard = performance.now();
      last = news;
      watch?.(news);
      if (news.done) end(news);
    });
    worker.on("error", (error) => end({ ...last, failure: `seed ${begun[0]}: ${error}` }));
  });
}
