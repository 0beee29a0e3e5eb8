import { FormatError } from "../../src/tensor/error.ts";
import type { Random } from "../../src/tensor/random.ts";

/** What is fuzzed: how a valid file is made and hurt, and what must hold of any bytes. */
export interface Target {
  /** Bytes of a file, valid before it was hurt. */
  make(random: Random): Uint8Array;
  /** Reads all there is. Resolves if the bytes were taken, throws FormatError if not, anything else where the reader is at fault. */
  read(bytes: Uint8Array): Promise<void>;
}

/** Each target in a file of its own: a thread that reads one of them does not wait for what the others are made of. */
const targets = {
  gguf: async () => (await import("./files.ts")).gguf,
  safetensors: async () => (await import("./files.ts")).safetensors,
  config: async () => (await import("./config.ts")).config,
  request: async () => (await import("./request.ts")).request,
} satisfies Readonly<Record<string, () => Promise<Target>>>;

export type TargetName = keyof typeof targets;
export const targetNames = Object.keys(targets) as readonly TargetName[];
export const openTarget = (name: TargetName): Promise<Target> => targets[name]();

/** Throws where a reader did what it never may. */
export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`the reader's promise is broken: ${what}`);
}

/** Errors must be FormatErrors that say what the rules ask for; anything else passes on. */
export function checkRefusal(error: unknown): void {
  if (!(error instanceof FormatError)) throw error;
  const { message } = error;
  check(/^fuzzed.*: .*got /s.test(message) && /expected /.test(message), `the message ${message}`);
  check(message.length < 1500, `a message of ${message.length} characters`);
}
