import type { Worker } from "node:worker_threads";
import { DeviceError } from "../tensor/error.ts";
import { Worker as Thread } from "../tensor/node.ts";

/** Megabytes that a thread may take for what it makes, and for its calls within calls. */
export interface Bounds {
  readonly memory: number;
  readonly stack: number;
}

/** How long a thread may take for an answer. */
export interface Wait {
  /** Seconds of its own work: what others take of the machine meanwhile is not its fault. */
  readonly seconds: number;
  /** Seconds that may pass in all, on a machine that is busy. */
  readonly patience: number;
  /** What did not come, for a complaint: "no text". */
  readonly missing: string;
}

/** Milliseconds in which a thread, busy or not, says how much it has worked. */
const ASKING_MS = 5_000;

/**
 * Starts the file of this name beside `base` in a thread with bounds of its own, which sees nothing of the environment but where modules
 * lie as Node has read them once: without these, reading its own takes as long as all that it does.
 */
export async function startBounded(name: string, base: string, { memory, stack }: Bounds): Promise<Worker> {
  if (!Thread) throw new DeviceError("thread: got no Node, expected it; what is bounded elsewhere runs without one");
  const { NODE_COMPILE_CACHE: read } = process.env;
  const worker = new Thread(new URL(`${name}.${base.endsWith(".ts") ? "ts" : "js"}`, base), {
    execArgv: [],
    env: read === undefined ? {} : { NODE_COMPILE_CACHE: read },
    resourceLimits: { maxOldGenerationSizeMb: memory, maxYoungGenerationSizeMb: 32, stackSizeMb: stack },
  });
  // One that was ended may still report an error, for which nobody waits.
  return worker.on("error", () => {});
}

/**
 * A thread's next message, after `begin`. The process does not wait for it at other times.
 *
 * Errors: an error that says what was got in its place for one that ends, or takes more memory or work than it may; DeviceError where
 * the machine gives it no time to work in.
 */
export function awaitMessage<T>(
  worker: Worker,
  { seconds, patience, missing }: Wait,
  begin: () => void = () => {},
): Promise<T> {
  // One that has ended tells nobody any more.
  if (worker.threadId < 0) return Promise.reject(new Error("an end of its thread"));
  return new Promise((resolve, reject) => {
    const { maxOldGenerationSizeMb: memory } = worker.resourceLimits ?? {};
    const started = performance.now();
    const before = workOf(worker);
    let timer: NodeJS.Timeout;
    let settled = false;
    let first: number | undefined;
    const look = async () => {
      const passed = (performance.now() - started) / 1000;
      const now = await workOf(worker);
      first ??= (await before) ?? now;
      if (settled) return;
      // One that says nothing of itself on a busy machine is waited for; a Node that cannot tell counts what has passed.
      const work = "cpuUsage" in worker ? (now ?? first ?? 0) - (first ?? 0) : passed;
      if (work >= seconds) fail(new Error(`${missing} in ${seconds} s`));
      else if (passed >= patience)
        fail(
          new DeviceError(
            `thread: got ${work.toFixed(1)} s to work in within ${passed.toFixed(0)} s, expected ${seconds} s; try again once the machine is less busy`,
          ),
        );
      else timer = setTimeout(look, 1000 * Math.max(0.05, seconds - work));
    };
    const settle = (then: () => void) => {
      settled = true;
      clearTimeout(timer);
      worker.off("message", come).off("error", fail).off("exit", end);
      worker.unref();
      then();
    };
    const come = (value: T) => settle(() => resolve(value));
    const fail = (error: NodeJS.ErrnoException) =>
      settle(() =>
        reject(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? new Error(`more than ${memory} MB of memory`) : error),
      );
    const end = () => settle(() => reject(new Error("an end of its thread")));
    timer = setTimeout(look, 1000 * seconds);
    worker.ref();
    worker.on("message", come).on("error", fail).on("exit", end);
    begin();
  });
}

/** Seconds that a thread has worked; undefined where this Node does not tell (before 24.6), or the thread says nothing in time. */
async function workOf(worker: Worker): Promise<number | undefined> {
  let timer: NodeJS.Timeout;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ASKING_MS);
  });
  try {
    const usage = await Promise.race([worker.cpuUsage(), late]);
    return usage && (usage.user + usage.system) / 1e6;
  } catch (error) {
    // One that has not begun has not worked.
    return (error as NodeJS.ErrnoException).code === "ERR_WORKER_NOT_RUNNING" ? 0 : undefined;
  } finally {
    clearTimeout(timer!);
  }
}
