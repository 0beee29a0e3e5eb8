import { type Datasheet, GB, GiB, rates } from "./datasheet.ts";
import { type Link, nvlink } from "./link.ts";

/** Two sockets, for both directions together: AMD's four links of 32 GT/s, sixteen lanes each; Intel's by their UPI links. */
const socket = (both: number): Link => ({ ...nvlink(both * GB, 2), kind: "UPI" });

/** Processors of computers without an accelerator, a socket each; and hosts of those that have one. */
export const processors: readonly Datasheet[] = [
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
    name: "threadripper-7995wx",
    kind: "CPU",
    memory: 512 * GiB,
    bandwidth: 332.8 * GB,
    flops: rates(15.4, 15.4),
    source:
      "AMD: eight channels of DDR5-5200, 2.5 GHz base; FLOP/s derived: 96 cores, 64 each per cycle, others widened; 512 GiB assumed",
  },
  {
    name: "epyc-9654",
    kind: "CPU",
    memory: 768 * GiB,
    bandwidth: 460.8 * GB,
    flops: rates(14.7, 14.7),
    link: socket(192),
    source:
      "AMD: twelve channels of DDR5-4800, 2.4 GHz base; FLOP/s derived: 96 cores, 64 each per cycle, others widened; 768 GiB assumed",
  },
  {
    name: "epyc-9755",
    aliases: ["server-cpu"],
    kind: "CPU",
    memory: 768 * GiB,
    bandwidth: 614.4 * GB,
    flops: rates(22.1, 22.1),
    link: socket(256),
    source:
      "AMD: twelve channels of DDR5-6400, 2.7 GHz base; FLOP/s derived: 128 cores, 64 each per cycle, others widened; 768 GiB assumed",
  },
  {
    name: "xeon-6454s",
    kind: "CPU",
    memory: 512 * GiB,
    bandwidth: 307.2 * GB,
    flops: rates(9, 72.1),
    link: socket(192),
    source:
      "Intel Xeon Gold 6454S: eight channels of DDR5-4800, 2.2 GHz base; FLOP/s derived: 32 cores, 128 each per cycle, 1024 in bfloat16 with AMX; 512 GiB assumed",
  },
  {
    name: "xeon-8592",
    kind: "CPU",
    memory: 512 * GiB,
    bandwidth: 358.4 * GB,
    flops: rates(15.6, 124.5),
    link: socket(240),
    source:
      "Intel Xeon Platinum 8592+: eight channels of DDR5-5600, 1.9 GHz base; FLOP/s derived: 64 cores, 128 each per cycle, 1024 in bfloat16 with AMX; 512 GiB assumed",
  },
  {
    name: "xeon-6980p",
    kind: "CPU",
    memory: 768 * GiB,
    bandwidth: 844.8 * GB,
    flops: rates(32.8, 262.1),
    link: socket(288),
    source:
      "Intel Xeon 6980P: twelve channels of MRDIMM-8800, 2 GHz base; FLOP/s derived: 128 cores, 128 each per cycle, 1024 in bfloat16 with AMX; 768 GiB assumed",
  },
];
