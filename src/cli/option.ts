import { availableParallelism, cpus, totalmem } from "node:os";
import { InvalidArgumentError, Option } from "commander";
import { type DeviceName, deviceText } from "../device/open.ts";
import { bytesOf } from "../plan/amount.ts";
import type { Device } from "../tensor/device.ts";

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

/** `--device`, of those that a command runs on. */
export function deviceOption(...names: readonly DeviceName[]): Option {
  const about = { wasm: "wasm", webgpu: "webgpu: a GPU", reference: "reference: float64, exact and slow" };
  return new Option("--device <name>", names.map((name) => about[name]).join("; or ")).choices(names).default("wasm");
}

/** What a result says of the machine it was measured on. */
export function machineFacts(device: Device) {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    threads: device.threads,
    memoryBytes: totalmem(),
    device: deviceText(device),
    platform: `${process.platform} ${process.arch}`,
  };
}

/** The command line as it can be typed again. */
export function commandText(): string {
  return ["biform", ...process.argv.slice(2).map((a) => (/[^\w=.,/-]/.test(a) ? JSON.stringify(a) : a))].join(" ");
}
