/** A peer: an engine in a process of its own, which measures what it is asked, one request at a time. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";

/** What a peer may be asked. `seconds` is how long to repeat the call; `steps` how many training steps to run. */
export type Request =
  | { op: "gemm"; m: number; n: number; k: number; seconds: number }
  | { op: "move"; bytes: number; seconds: number }
  | { op: "tokens"; layers: number; tokens: number }
  | { op: "gemv"; m: number; k: number; seconds: number }
  | { op: "attention"; case: AttentionCase; pass: "forward" | "backward"; seconds: number }
  | { op: "train"; steps: number }
  | { op: "work"; work: Work; seconds: number }
  | RunRequest;

/** Of a checkpoint: open it for at most `context` tokens, run that many tokens after those it holds, write on and forget that;
 * `greedy`: of an empty one, the likeliest ids after a prompt and the logits of the first of them, then forget all. */
export type RunRequest =
  | { op: "open"; file: string; context: number }
  | { op: "prefill"; tokens: number }
  | { op: "decode"; tokens: number }
  | { op: "rewind"; length: number }
  | { op: "greedy"; prompt: number; tokens: number }
  | { op: "memory" }
  | ManyRequest;

/** Of a checkpoint: several requests at once, which begin with `shared` tokens that have been read before, then some of their own,
 * and have `tokens` written; `stall`: the same, and when half is written a prompt of `long` tokens comes. */
export type ManyRequest =
  | { op: "many"; requests: number; shared: number; own: number; tokens: number }
  | { op: "stall"; requests: number; own: number; tokens: number; long: number };

/** What `busy` and `older` measure: a unit is a training step (of a hybrid, or in float64), a token, a prompt, or a product. */
export type Work = "training" | "decoding" | "prefill" | "packed" | "family" | "reference";

/** Sizes of one causal `attend` call; the last query stands at the last key. `groups` of 1: all heads share the key. */
export interface AttentionCase {
  readonly name: string;
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly terms: readonly { readonly width: number; readonly groups: number }[];
  /** `firstKey`: the values are the first term's very keys, as in MLA absorbed. */
  readonly values: { readonly width: number; readonly groups: number } | "firstKey";
}

/** Seconds per call (`median`, `best`), or the seconds and losses of training steps; `unsupported` says why there is none. */
export type Answer = Timing | Steps | Launched | Took | Held | Written | Many | { unsupported: string };
/** Of a small MLA model: seconds in which the device got ready for it, those of each token, and launches of its kernels for each after the first. */
export interface Launched {
  readonly ready: number;
  readonly seconds: number[];
  readonly launches: number;
}
/** Seconds that all of it took. */
export interface Took {
  readonly seconds: number;
}
/** Seconds: until the first token of each request, from token to token of each, and until that of the one that read what is shared. */
export interface Many {
  readonly first: number[];
  readonly between: number[];
  /** Tokens of all together, by the seconds in which all of them wrote. */
  readonly rate: number;
  readonly cold: number;
  /** From token to token while a long prompt was read. */
  readonly beside: number[];
}
export interface Written {
  readonly ids: number[];
  readonly logits: number[];
}
/** The most bytes that the process has had in memory. */
export interface Held {
  readonly peakBytes: number;
}
export interface Timing {
  readonly median: number;
  readonly best: number;
  readonly runs: number;
}
export interface Steps {
  readonly seconds: number[];
  readonly losses: number[];
  /** Most bytes its tensors held during a step, and all the memory it has taken, where the engine can tell. */
  readonly peakBytes?: number;
  readonly memoryBytes?: number;
}

/** First line of a peer. */
export interface Greeting {
  readonly engine: string;
  readonly version: string;
}

/** A running peer. Between requests it waits for its stdin, so that it leaves the cores to the others. */
export class Peer {
  readonly name: string;
  greeting: Greeting = { engine: "", version: "" };
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #stderr = "";

  private constructor(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#child.on("error", (error) => {
      this.#stderr += error.message;
    });
    this.#child.stderr!.on("data", (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-2000);
    });
    this.#child.stdin!.on("error", () => {});
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Starts `command` and waits for its greeting. Throws with what it wrote to stderr when it ends before. */
  static async start(
    name: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Peer> {
    const peer = new Peer(name, command, args, env);
    peer.greeting = (await peer.#next()) as unknown as Greeting;
    return peer;
  }

  /** One request, one answer. */
  async ask(request: Request): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    return (await this.#next()) as Answer;
  }

  /** Ends the process: it leaves when its stdin does, and is ended if it has not after a second. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 1000);
    await ended;
    clearTimeout(timer);
  }

  async #next(): Promise<object> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name}: the process ended; it said:\n${this.#stderr.trim() || "nothing"}`);
    return JSON.parse(value) as object;
  }
}
