import type { Machine } from "../attention/crossover.ts";
import type { Host } from "./plan.ts";
import type { Dtype } from "./schema.ts";

/** A machine as its vendor describes it. */
export interface Datasheet {
  /** As people type it: "h100-sxm". */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly kind: "data centre" | "consumer" | "Apple" | "phone" | "CPU";
  /** Bytes. */
  readonly memory: number;
  /** Bytes per second between memory and the processor. */
  readonly bandwidth: number;
  /** FLOP/s of matrix products by type of operands, without sparsity; a type that is missing runs as `float16` does. */
  readonly flops: Readonly<Partial<Record<Dtype, number>>> & { readonly float16: number };
  /** Seconds that an op takes whatever its size; 0 where nobody has published it. */
  readonly overhead?: number;
  readonly source: string;
}

const GB = 1e9;
const GiB = 2 ** 30;
const tera = 1e12;

/** Machines to plan for. */
export const machines: readonly Datasheet[] = [
  {
    name: "h100-sxm",
    aliases: ["h100"],
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 3350 * GB,
    flops: { float32: 67 * tera, float16: 989.4 * tera, float8: 1978.9 * tera },
    source: "NVIDIA H100 datasheet",
  },
  {
    name: "rtx-4090",
    kind: "consumer",
    memory: 24 * GB,
    bandwidth: 1008 * GB,
    flops: { float32: 82.6 * tera, float16: 165.2 * tera, float8: 330.3 * tera },
    source: "NVIDIA Ada GPU architecture whitepaper, table 2",
  },
  {
    name: "m4-max",
    kind: "Apple",
    memory: 128 * GiB,
    bandwidth: 546 * GB,
    flops: { float32: 18.4 * tera, float16: 18.4 * tera },
    source: "Apple",
  },
];

/** The machine of this name or alias, whatever its case; undefined where there is none. */
export function machineOf(name: string): Datasheet | undefined {
  const wanted = name.toLowerCase();
  return machines.find((machine) => machine.name === wanted || machine.aliases?.includes(wanted));
}

/** A machine of the table to plan for: every kernel is as fast as its arithmetic and its memory allow. */
export function hostOf({ name, memory, bandwidth, flops, overhead = 0 }: Datasheet): Host {
  return {
    name,
    memory,
    measured: false,
    rates: (dtype) => roof(bandwidth, flops[dtype] ?? flops.float16, overhead),
  };
}

/** A machine that was measured: its kernels compute in float32 whatever the type of the weights. */
export function hostOfMeasured(name: string, machine: Machine, memory?: number): Host {
  return { name, measured: true, rates: () => machine, ...(memory !== undefined && { memory }) };
}

function roof(bytes: number, flops: number, op: number): Machine {
  const rate = { bytes, flops };
  return { contract: { few: rate, many: rate }, attend: { few: rate, many: rate }, few: 0, panel: 0, op };
}
