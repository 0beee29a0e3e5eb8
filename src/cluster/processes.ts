import { type ChildProcess, spawn } from "node:child_process";
import { type Call, type Engine, taskWords } from "./engine.ts";

/** Times that a run is started anew when its process ends by a signal: killed for memory, say. */
const TRIES = 3;
/** Bytes of a process's last words that are kept. */
const WORDS = 2000;

interface Task {
  readonly words: readonly string[];
  tries: number;
}

/** Processes of this machine as an engine: `count` at a time. They end with this process, and what they did stays. */
export function processesEngine(count: number, call: Call): Engine {
  const waiting = new Map<string, Task>();
  const running = new Map<string, ChildProcess>();
  const ended = new Set<string>();
  const failed = new Map<string, string>();
  let ending = false;

  const startNext = () => {
    while (!ending && running.size < count && waiting.size > 0) {
      const [key, task] = waiting.entries().next().value!;
      waiting.delete(key);
      start(key, task);
    }
  };
  const start = (key: string, task: Task) => {
    task.tries++;
    const [program, ...words] = task.words;
    // A group of their own: Ctrl-C is told to this process, which then tells them once.
    const child = spawn(program!, words, {
      stdio: ["ignore", "ignore", "pipe"],
      detached: process.platform !== "win32",
    });
    running.set(key, child);
    let last = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      last = (last + text).slice(-WORDS);
    });
    const end = (reason: string | undefined, again: boolean) => {
      if (!running.delete(key)) return;
      if (again && !ending && task.tries < TRIES) waiting.set(key, task);
      else if (reason !== undefined && !ending) failed.set(key, reason);
      startNext();
    };
    child.on("error", (error) => end(error.message, false));
    child.on("close", (code, signal) => {
      if (code === 0) {
        ended.add(key);
        return end(undefined, false);
      }
      end(signal ? `its process was ended by ${signal}` : `it ended with ${code}: ${reasonOf(last)}`, signal !== null);
    });
  };

  return {
    name: "processes",
    most: 1000,
    lasting: false,
    async submit(list, keys) {
      for (const key of keys) {
        failed.delete(key);
        ended.delete(key);
        waiting.set(key, { words: taskWords(call, key), tries: 0 });
      }
      startNext();
      return String(list);
    },
    async look() {
      return { waiting: new Set(waiting.keys()), running: new Set(running.keys()), ended, failed: new Map(failed) };
    },
    async cancel() {
      ending = true;
      waiting.clear();
      const ended = [...running.values()].map((child) => new Promise((done) => child.once("close", done)));
      for (const child of running.values()) child.kill("SIGTERM");
      await Promise.all(ended);
    },
  };
}

/** The line that says why a process ended: its last one, or of a crash the error's. */
function reasonOf(said: string): string {
  const lines = said.trim().split("\n");
  const crashed = /^Node\.js v/.test(lines.at(-1)!);
  return (crashed ? lines.findLast((line) => /^\w*Error\b/.test(line)) : undefined) ?? lines.at(-1)!;
}
