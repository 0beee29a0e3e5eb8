import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const command = join(import.meta.dirname, "..", "..", "bin", "biform.js");

/** A `biform serve` of one's own. */
export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Lines that it has said on stderr which are no notes. */
  readonly complaints: string[];
  /** Lines that are. */
  readonly notes: string[];
  /** Whether it still runs. */
  readonly runs: boolean;
  /** Has it drain. @returns its exit code. */
  stop(): Promise<number | null>;
  kill(): void;
}

/** Writes a model of random weights. */
export function makeModel(path: string, preset: string): void {
  execFileSync(process.execPath, [command, "make-model", path, "--preset", preset], { stdio: "ignore" });
}

/** Starts one, and waits until it listens. */
export async function startServer(models: readonly string[], more: readonly string[]): Promise<Server> {
  const child: ChildProcess = spawn(process.execPath, [command, "serve", ...models, "--json", "--port", "0", ...more], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [complaints, notes]: [string[], string[]] = [[], []];
  createInterface(child.stderr!).on("line", (line) => {
    if (/^note: /.test(line)) notes.push(line);
    else if (line.trim() && !/^(ending once|loading )/.test(line)) complaints.push(line);
  });
  const ended = once(child, "exit");
  const [line] = await Promise.race([once(createInterface(child.stdout!), "line"), ended]);
  if (typeof line !== "string") throw new Error(`serve: got an end with ${line}: ${complaints.join("\n")}`);
  const { url, pid } = JSON.parse(line);
  return {
    url,
    pid,
    complaints,
    notes,
    get runs() {
      return child.exitCode === null && child.signalCode === null;
    },
    async stop() {
      child.kill("SIGINT");
      return (await ended)[0];
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

/** MiB of memory that a process holds. */
export function residentOf(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)]).toString()) / 1024;
}
