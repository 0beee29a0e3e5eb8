import { CHUNK } from "../generate/forms.ts";
import type { Host } from "../plan/plan.ts";
import type { Dtype } from "../plan/schema.ts";
import { type Machine, roofline } from "./crossover.ts";

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
  /**
   * FLOP/s of matrix products by the type of both operands, dense, adding up in float32 where the vendor tells that apart. Weights of a
   * type that is missing are widened as they are read, and computed with at the rate of float16.
   */
  readonly flops: Readonly<Partial<Record<Dtype, number>>> & { readonly float32: number; readonly float16: number };
  /** Seconds that an op takes whatever its size; vendors publish none, so only a measured machine has one. */
  readonly overhead?: number;
  /** Who says so, and which of the figures are derived or from others. */
  readonly source: string;
}

const [GB, GiB, T] = [1e9, 2 ** 30, 1e12];

/** Rates in TFLOP/s: float32, 16-bit floats, and 8-bit floats where the machine computes with them. */
const rates = (float32: number, half: number, float8?: number) => ({
  float32: float32 * T,
  float16: half * T,
  bfloat16: half * T,
  ...(float8 && { float8: float8 * T }),
});

const hopper = rates(66.9, 989.4, 1978.9);
const ampere = rates(19.5, 312);
const cdna3 = rates(163.4, 1307.4, 2614.9);

/** Machines to plan for. */
export const machines: readonly Datasheet[] = [
  {
    name: "h100-sxm",
    aliases: ["h100"],
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 3350 * GB,
    flops: hopper,
    source: "NVIDIA H100 datasheet, SXM5",
  },
  {
    name: "h100-pcie",
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 2039 * GB,
    flops: rates(51.2, 756.5, 1513),
    source: "NVIDIA H100 PCIe product brief",
  },
  {
    name: "h200",
    kind: "data centre",
    memory: 141 * GB,
    bandwidth: 4800 * GB,
    flops: hopper,
    source: "NVIDIA H200 datasheet, SXM",
  },
  {
    name: "h20",
    kind: "data centre",
    memory: 96 * GB,
    bandwidth: 4000 * GB,
    flops: rates(44, 148, 296),
    source:
      "NVIDIA H20 figures as resellers and the GQLA paper (arXiv 2605.15250) give them; NVIDIA has no public datasheet",
  },
  {
    name: "h800",
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 3350 * GB,
    flops: hopper,
    source: "NVIDIA H800 SXM: an H100 SXM with slower links; FlashMLA README measures 3000 GB/s and 660 TFLOP/s",
  },
  {
    name: "a100-40gb",
    kind: "data centre",
    memory: 40 * GB,
    bandwidth: 1555 * GB,
    flops: ampere,
    source: "NVIDIA A100 datasheet",
  },
  {
    name: "a100-80gb",
    aliases: ["a100"],
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 2039 * GB,
    flops: ampere,
    source: "NVIDIA A100 datasheet, SXM",
  },
  {
    name: "a800",
    kind: "data centre",
    memory: 80 * GB,
    bandwidth: 2039 * GB,
    flops: ampere,
    source: "NVIDIA A800 80GB: an A100 80GB with slower links",
  },
  {
    name: "b200",
    kind: "data centre",
    memory: 180 * GB,
    bandwidth: 8000 * GB,
    flops: rates(75, 2250, 4500),
    source: "NVIDIA DGX B200 datasheet, an eighth; halved where with sparsity",
  },
  {
    name: "gb200",
    kind: "data centre",
    memory: 186 * GB,
    bandwidth: 8000 * GB,
    flops: rates(80, 2500, 5000),
    source: "NVIDIA GB200 NVL72 datasheet, a 72nd; halved where with sparsity",
  },
  {
    name: "l40s",
    kind: "data centre",
    memory: 48 * GB,
    bandwidth: 864 * GB,
    flops: rates(91.6, 362, 733),
    source: "NVIDIA L40S datasheet",
  },
  {
    name: "l4",
    kind: "data centre",
    memory: 24 * GB,
    bandwidth: 300 * GB,
    flops: rates(30.3, 121, 242.5),
    source: "NVIDIA L4 datasheet; halved where with sparsity",
  },
  {
    name: "mi300x",
    kind: "data centre",
    memory: 192 * GB,
    bandwidth: 5300 * GB,
    flops: cdna3,
    source: "AMD Instinct MI300X data sheet",
  },
  {
    name: "mi325x",
    kind: "data centre",
    memory: 256 * GB,
    bandwidth: 6000 * GB,
    flops: cdna3,
    source: "AMD Instinct MI325X data sheet",
  },
  {
    name: "mi355x",
    kind: "data centre",
    memory: 288 * GB,
    bandwidth: 8000 * GB,
    flops: rates(157.3, 2516.6, 5033.2),
    source: "AMD Instinct MI355X data sheet",
  },
  {
    name: "tpu-v5e",
    kind: "data centre",
    memory: 16 * GB,
    bandwidth: 819 * GB,
    flops: rates(197 / 6, 197),
    source: "Google Cloud TPU v5e; float32 derived: six bfloat16 passes (JAX's highest precision)",
  },
  {
    name: "tpu-v6e",
    kind: "data centre",
    memory: 32 * GB,
    bandwidth: 1640 * GB,
    flops: rates(918 / 6, 918),
    source: "Google Cloud TPU v6e; float32 derived: six bfloat16 passes (JAX's highest precision)",
  },
  {
    name: "rtx-3090",
    kind: "consumer",
    memory: 24 * GiB,
    bandwidth: 936 * GB,
    flops: rates(35.6, 71),
    source: "NVIDIA GA102 whitepaper, tensor cores that add up in float32",
  },
  {
    name: "rtx-4090",
    kind: "consumer",
    memory: 24 * GiB,
    bandwidth: 1008 * GB,
    flops: rates(82.6, 165.2, 330.3),
    source: "NVIDIA Ada whitepaper, tensor cores that add up in float32",
  },
  {
    name: "rtx-5090",
    kind: "consumer",
    memory: 32 * GiB,
    bandwidth: 1792 * GB,
    flops: rates(104.8, 209.5, 419),
    source: "NVIDIA RTX Blackwell whitepaper, tensor cores that add up in float32",
  },
  {
    name: "rx-7900-xtx",
    kind: "consumer",
    memory: 24 * GiB,
    bandwidth: 960 * GB,
    flops: rates(61.4, 122.8),
    source: "AMD Radeon RX 7900 XTX specifications",
  },
  {
    name: "m1",
    kind: "Apple",
    memory: 16 * GiB,
    bandwidth: 68.25 * GB,
    flops: rates(2.6, 2.6),
    source: "Apple; 16-bit floats at the rate of 32-bit ones, as Apple's GPUs compute",
  },
  {
    name: "m1-max",
    kind: "Apple",
    memory: 64 * GiB,
    bandwidth: 400 * GB,
    flops: rates(10.4, 10.4),
    source: "Apple, 32 GPU cores",
  },
  {
    name: "m1-ultra",
    kind: "Apple",
    memory: 128 * GiB,
    bandwidth: 800 * GB,
    flops: rates(21, 21),
    source: "Apple, 64 GPU cores",
  },
  {
    name: "m2",
    kind: "Apple",
    memory: 24 * GiB,
    bandwidth: 100 * GB,
    flops: rates(3.6, 3.6),
    source: "Apple, 10 GPU cores",
  },
  {
    name: "m2-max",
    kind: "Apple",
    memory: 96 * GiB,
    bandwidth: 400 * GB,
    flops: rates(13.6, 13.6),
    source: "Apple, 38 GPU cores",
  },
  {
    name: "m2-ultra",
    kind: "Apple",
    memory: 192 * GiB,
    bandwidth: 800 * GB,
    flops: rates(27.2, 27.2),
    source: "Apple, 76 GPU cores",
  },
  {
    name: "m3-max",
    kind: "Apple",
    memory: 128 * GiB,
    bandwidth: 400 * GB,
    flops: rates(14.3, 14.3),
    source: "Apple, 40 GPU cores; FLOP/s derived: 5120 lanes, 2 each, at 1.398 GHz (a third party's clock)",
  },
  {
    name: "m3-ultra",
    kind: "Apple",
    memory: 512 * GiB,
    bandwidth: 819 * GB,
    flops: rates(28.6, 28.6),
    source: "Apple, 80 GPU cores; FLOP/s derived: twice those of the M3 Max",
  },
  {
    name: "m4",
    kind: "Apple",
    memory: 32 * GiB,
    bandwidth: 120 * GB,
    flops: rates(3.76, 3.76),
    source: "Apple, 10 GPU cores; FLOP/s derived: 1280 lanes, 2 each, at 1.47 GHz (a third party's clock)",
  },
  {
    name: "m4-max",
    kind: "Apple",
    memory: 128 * GiB,
    bandwidth: 546 * GB,
    flops: rates(17.2, 17.2),
    source: "Apple, 40 GPU cores; FLOP/s derived: 5120 lanes, 2 each, at 1.678 GHz (a third party's clock)",
  },
  {
    name: "snapdragon-8-elite",
    kind: "phone",
    memory: 16 * GiB,
    bandwidth: 84.8 * GB,
    flops: rates(3.4, 6.8),
    source:
      "Qualcomm, LPDDR5X-5300 on 64 bits; FLOP/s of the Adreno 830 derived: 1536 lanes, 2 each, at 1.1 GHz (lanes from memory), 16-bit floats at twice that",
  },
  {
    name: "a18-pro",
    kind: "phone",
    memory: 8 * GiB,
    bandwidth: 60 * GB,
    flops: rates(2.3, 2.3),
    source:
      "Apple, 6 GPU cores; bandwidth and FLOP/s from memory of third parties: LPDDR5X-7500 on 64 bits, 768 lanes at 1.5 GHz",
  },
  {
    name: "ryzen-9950x",
    aliases: ["desktop-cpu"],
    kind: "CPU",
    memory: 64 * GiB,
    bandwidth: 89.6 * GB,
    flops: rates(4.4, 4.4),
    source:
      "AMD: two channels of DDR5-5600, 4.3 GHz base; FLOP/s derived: 16 cores, 64 each per cycle, others widened; 64 GiB assumed",
  },
  {
    name: "epyc-9755",
    aliases: ["server-cpu"],
    kind: "CPU",
    memory: 768 * GiB,
    bandwidth: 614.4 * GB,
    flops: rates(22.1, 22.1),
    source:
      "AMD: twelve channels of DDR5-6400, 2.7 GHz base; FLOP/s derived: 128 cores, 64 each per cycle, others widened; 768 GiB assumed",
  },
];

/** The machine of this name or alias, whatever its case; undefined where there is none. */
export function machineOf(name: string): Datasheet | undefined {
  const wanted = name.toLowerCase();
  return machines.find((machine) => machine.name === wanted || machine.aliases?.includes(wanted));
}

/** A machine of the table to plan for: every kernel is as fast as its arithmetic or its memory allows, whichever is slower. */
export function hostOf({ name, memory, bandwidth: bytes, flops, overhead: op = 0 }: Datasheet): Host {
  const rates = (dtype: Dtype) => roofline({ bytes, flops: flops[dtype] ?? flops.float16, op });
  return { name, memory, measured: false, rates };
}

/** A machine that was measured; Biform computes in float32 whatever the type of the weights, and prefills in chunks. */
export function hostOfMeasured(name: string, machine: Machine, memory?: number): Host {
  return { name, measured: true, chunk: CHUNK, rates: () => machine, ...(memory !== undefined && { memory }) };
}
