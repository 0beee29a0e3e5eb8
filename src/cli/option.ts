import { availableParallelism, cpus, totalmem } from "node:os";
import { InvalidArgumentError } from "commander";
import { bytesOf } from "../plan/amount.ts";

/** A parser for options that are whole numbers from `least` on. */
export function wholeOption(name: string, least = 1): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (!Number.isSafeInteger(n) || n < least || text.trim() === "")
      throw new InvalidArgumentError(`${name}: got "${text}", expected a whole number from ${least} on.`);
    return n;
  };
}

/** A parser for options that are positive numbers, such as 2e13. */
export function positiveOption(name: string): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (!Number.isFinite(n) || n <= 0)
      throw new InvalidArgumentError(`${name}: got "${text}", expected a number above 0.`);
    return n;
  };
}

/** A parser for options that are a number of bytes: 0, 512MiB, 4GB. */
export function bytesOption(name: string): (text: string) => number {
  return (text) => {
    if (text.trim() === "0") return 0;
    try {
      return bytesOf(name, text);
    } catch (error) {
      throw new InvalidArgumentError(`${(error as Error).message}.`);
    }
  };
}

/** A parser for comma-separated lists, each item read by `parse`. */
export function listOption<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(",").map((item) => parse(item.trim()));
}

/** What a result says of the machine it was measured on. */
export function machineFacts(device: { build: string; threads: number }) {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    threads: device.threads,
    memoryBytes: totalmem(),
    device: `wasm, ${device.build} build`,
    platform: `${process.platform} ${process.arch}`,
  };
}

/** The command line as it can be typed again. */
export function commandText(): string {
  return ["biform", ...process.argv.slice(2).map((a) => (/[^\w=.,/-]/.test(a) ? JSON.stringify(a) : a))].join(" ");
}
