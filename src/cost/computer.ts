import { type Datasheet, GB, GiB, rates } from "./datasheet.ts";
import { ethernet, thunderbolt } from "./link.ts";

/**
 * The share of a Mac's memory that Metal says a GPU may use (recommendedMaxWorkingSetSize): 11.84 of 16 GiB (M3, llmfit #754) and
 * 17.76 of 24 (sglang #29949), 48 of 64 (M2 Max, llama.cpp #1870), 107.52 of 128 (M5 Max, macOS 26, antirez/ds4 #893). Sizes between
 * and above are taken to be as the nearest below. `sysctl iogpu.wired_limit_mb` raises it.
 */
const [small, middle, large] = [0.74, 0.75, 0.84];

/** Computers and phones whose processors share one memory. */
export const computers: readonly Datasheet[] = [
  {
    name: "m1",
    kind: "Apple",
    memory: 16 * GiB,
    usable: small,
    bandwidth: 68.25 * GB,
    flops: rates(2.6, 2.6),
    source: "Apple; 16-bit floats at the rate of 32-bit ones, as Apple's GPUs compute",
  },
  {
    name: "m1-max",
    kind: "Apple",
    memory: 64 * GiB,
    usable: middle,
    bandwidth: 400 * GB,
    flops: rates(10.4, 10.4),
    source: "Apple, 32 GPU cores",
  },
  {
    name: "m1-ultra",
    kind: "Apple",
    memory: 128 * GiB,
    usable: large,
    bandwidth: 800 * GB,
    flops: rates(21, 21),
    source: "Apple, 64 GPU cores",
  },
  {
    name: "m2",
    kind: "Apple",
    memory: 24 * GiB,
    usable: small,
    bandwidth: 100 * GB,
    flops: rates(3.6, 3.6),
    source: "Apple, 10 GPU cores",
  },
  {
    name: "m2-max",
    kind: "Apple",
    memory: 96 * GiB,
    usable: middle,
    bandwidth: 400 * GB,
    flops: rates(13.6, 13.6),
    source: "Apple, 38 GPU cores",
  },
  {
    name: "m2-ultra",
    kind: "Apple",
    memory: 192 * GiB,
    usable: large,
    bandwidth: 800 * GB,
    flops: rates(27.2, 27.2),
    source: "Apple, 76 GPU cores",
  },
  {
    name: "m3-max",
    kind: "Apple",
    memory: 128 * GiB,
    usable: large,
    bandwidth: 400 * GB,
    flops: rates(14.3, 14.3),
    source: "Apple, 40 GPU cores; FLOP/s derived: 5120 lanes, 2 each, at 1.398 GHz (a third party's clock)",
  },
  {
    name: "m3-ultra",
    kind: "Apple",
    memory: 512 * GiB,
    usable: large,
    bandwidth: 819 * GB,
    flops: rates(28.6, 28.6),
    link: thunderbolt,
    source: "Apple, 80 GPU cores; FLOP/s derived: twice those of the M3 Max",
  },
  {
    name: "m4",
    kind: "Apple",
    memory: 32 * GiB,
    usable: small,
    bandwidth: 120 * GB,
    flops: rates(3.76, 3.76),
    source: "Apple, 10 GPU cores; FLOP/s derived: 1280 lanes, 2 each, at 1.47 GHz (a third party's clock)",
  },
  {
    name: "m4-pro",
    kind: "Apple",
    memory: 64 * GiB,
    usable: middle,
    bandwidth: 273 * GB,
    flops: rates(8.6, 8.6),
    link: thunderbolt,
    source: "Apple, 20 GPU cores; FLOP/s derived: 2560 lanes, 2 each, at 1.678 GHz (a third party's clock)",
  },
  {
    name: "m4-max",
    kind: "Apple",
    memory: 128 * GiB,
    usable: large,
    bandwidth: 546 * GB,
    flops: rates(17.2, 17.2),
    link: thunderbolt,
    source: "Apple, 40 GPU cores; FLOP/s derived: 5120 lanes, 2 each, at 1.678 GHz (a third party's clock)",
  },
  {
    name: "m5",
    kind: "Apple",
    memory: 32 * GiB,
    usable: small,
    bandwidth: 153.6 * GB,
    flops: rates(4.15, 16.6),
    source:
      "Apple, 10 GPU cores with neural accelerators; FLOP/s derived: 1280 lanes, 2 each, at 1.62 GHz, 1024 16-bit operations a core and cycle (third parties' figures)",
  },
  {
    name: "m5-max",
    kind: "Apple",
    memory: 128 * GiB,
    usable: large,
    bandwidth: 614 * GB,
    flops: rates(16.6, 66.4),
    link: thunderbolt,
    source: "Apple, 40 GPU cores with neural accelerators; FLOP/s derived as of the M5, four times as many",
  },
  {
    name: "dgx-spark",
    aliases: ["gb10"],
    kind: "workstation",
    memory: 128 * GB,
    bandwidth: 273 * GB,
    flops: rates(31, 125, 250, 500),
    link: ethernet(200, 2),
    source:
      "NVIDIA DGX Spark: 1 PFLOP/s in FP4 with sparsity, dense half of it, 8 and 16 bits each half of the next; its memory is the CPU's too; 200 Gb/s joins two",
  },
  {
    name: "ryzen-ai-max-395",
    aliases: ["strix-halo"],
    kind: "workstation",
    memory: 128 * GiB,
    usable: 0.75,
    bandwidth: 256 * GB,
    flops: rates(29.7, 59.4),
    source:
      "AMD Ryzen AI Max+ 395: LPDDR5X-8000 on 256 bits; FLOP/s derived: 40 compute units, 256 each per cycle, 16-bit twice, at 2.9 GHz; 96 of 128 GiB for graphics as Windows allows",
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
];
