import { type Datasheet, GB, rates } from "./datasheet.ts";
import { ethernet, fabric, pcie, pod } from "./link.ts";
import { nvidia } from "./nvidia.ts";

const cdna3 = rates(163.4, 1307.4, 2614.9);

/** Accelerators of data centres. */
export const accelerators: readonly Datasheet[] = [
  ...nvidia,
  {
    name: "mi300x",
    kind: "data centre",
    memory: 192 * GB,
    bandwidth: 5300 * GB,
    flops: cdna3,
    link: fabric(896 * GB),
    network: ethernet(400),
    host: pcie(5),
    source:
      "AMD Instinct MI300X data sheet: eight by 896 GB/s each; a 400 Gb/s port each as AMD's reference servers have",
  },
  {
    name: "mi325x",
    kind: "data centre",
    memory: 256 * GB,
    bandwidth: 6000 * GB,
    flops: cdna3,
    link: fabric(896 * GB),
    network: ethernet(400),
    host: pcie(5),
    source:
      "AMD Instinct MI325X data sheet: eight by 896 GB/s each; a 400 Gb/s port each as AMD's reference servers have",
  },
  {
    name: "mi350x",
    kind: "data centre",
    memory: 288 * GB,
    bandwidth: 8000 * GB,
    flops: rates(144.2, 2306.9, 4613.7, 9227.5),
    link: fabric(1075 * GB),
    network: ethernet(400),
    host: pcie(5),
    source: "AMD Instinct MI350X data sheet: eight by 1075 GB/s each",
  },
  {
    name: "mi355x",
    kind: "data centre",
    memory: 288 * GB,
    bandwidth: 8000 * GB,
    flops: rates(157.3, 2516.6, 5033.2, 10066.3),
    link: fabric(1075 * GB),
    network: ethernet(400),
    host: pcie(5),
    source: "AMD Instinct MI355X data sheet: eight by 1075 GB/s each",
  },
  {
    name: "gaudi-3",
    kind: "data centre",
    memory: 128 * GB,
    bandwidth: 3700 * GB,
    flops: rates(229, 1835, 1835),
    link: { kind: "Ethernet", bytes: 525 * GB, latency: ethernet(200).latency, most: 8 },
    network: ethernet(600),
    host: pcie(5),
    source: "Intel Gaudi 3 white paper: 24 ports of 200 Gb/s, 21 of them to the other seven of a node, three out",
  },
  {
    name: "tpu-v5e",
    kind: "data centre",
    memory: 16 * GB,
    bandwidth: 819 * GB,
    flops: rates(197 / 6, 197),
    link: pod(400 * GB, 256),
    source:
      "Google Cloud TPU v5e; float32 derived: six bfloat16 passes (JAX's highest precision); 400 GB/s between chips",
  },
  {
    name: "tpu-v5p",
    kind: "data centre",
    memory: 95 * GB,
    bandwidth: 2765 * GB,
    flops: rates(459 / 6, 459),
    link: pod(1200 * GB, 8960),
    source:
      "Google Cloud TPU v5p; float32 derived: six bfloat16 passes (JAX's highest precision); 1200 GB/s between chips",
  },
  {
    name: "tpu-v6e",
    kind: "data centre",
    memory: 32 * GB,
    bandwidth: 1640 * GB,
    flops: rates(918 / 6, 918),
    link: pod(800 * GB, 256),
    source:
      "Google Cloud TPU v6e; float32 derived: six bfloat16 passes (JAX's highest precision); 800 GB/s between chips",
  },
  {
    name: "tpu7x",
    aliases: ["ironwood"],
    kind: "data centre",
    memory: 192 * GB,
    bandwidth: 7370 * GB,
    flops: rates(2307 / 6, 2307, 4614),
    link: pod(1200 * GB, 9216),
    source:
      "Google Cloud TPU7x; float32 derived: six bfloat16 passes (JAX's highest precision); 1200 GB/s between chips",
  },
];
