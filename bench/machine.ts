/** What the numbers were measured on. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** Facts about the machine, the runtime and how much of the time was stolen by others meanwhile. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly features: string[];
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
}

/** The facts of this machine. */
export function machine(): Machine {
  const flags =
    text("/proc/cpuinfo")
      .match(/^flags\s*:(.*)$/m)?.[1]
      ?.split(/\s+/) ?? [];
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    features: ["fma", "avx2", "avx512f", "avx_vnni", "avx512_vnni"].filter((flag) => flags.includes(flag)),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()}`,
    node: process.version,
    v8: process.versions.v8,
  };
}

/** Processor time in clock ticks: all since boot, idle, taken by the host, and by this process and its ended children. */
export interface Ticks {
  readonly all: number;
  readonly idle: number;
  readonly stolen: number;
  readonly own: number;
}

/** The counters now; zeros where the system does not tell. */
export function ticks(): Ticks {
  const fields = (text("/proc/stat").split("\n")[0] ?? "").split(/\s+/).slice(1, 9).map(Number);
  // The fields after the name in brackets; 11 to 14 of them are user and system time, own and of children.
  const own = text("/proc/self/stat")
    .replace(/^.*\) /, "")
    .split(" ")
    .slice(11, 15)
    .map(Number);
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  return { all: sum(fields), idle: (fields[3] ?? 0) + (fields[4] ?? 0), stolen: fields[7] ?? 0, own: sum(own) };
}

/** Shares of the processor time between two readings that the host took and that other processes used. */
export function disturbance(before: Ticks, after: Ticks): { stolen: number; others: number } {
  const of = (key: keyof Ticks) => after[key] - before[key];
  const all = Math.max(1, of("all"));
  return { stolen: of("stolen") / all, others: Math.max(0, of("all") - of("idle") - of("stolen") - of("own")) / all };
}

/** The most bytes that this process has had in memory, pages of mapped files included; NaN where the system does not tell. */
export function peakBytes(): number {
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(text("/proc/self/status"))?.[1] ?? Number.NaN) * 1024;
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
