/** What joins devices of a node, or nodes of a group. */
export interface Link {
  readonly kind:
    | "NVLink"
    | "Infinity Fabric"
    | "PCIe"
    | "ICI"
    | "InfiniBand"
    | "Ethernet"
    | "Thunderbolt"
    | "UPI"
    | "HCCS";
  /** Bytes per second that one device sends, while it receives as many. */
  readonly bytes: number;
  /** Seconds from one device to another for a message of no length. */
  readonly latency: number;
  /** Devices that it joins at most; as many as there are of it unless given. */
  readonly most?: number;
}

/**
 * Seconds of a small message, measured end to end: NVLink 3.33 us, InfiniBand 3.7 us and Ethernet (RoCE) 5.6 us across leaf switches
 * (DeepSeek, arXiv 2505.09343, table 5). Of the others nobody publishes one: links inside a node are taken to be as NVLink, cables
 * between computers as Ethernet.
 */
const [INSIDE, INFINIBAND, ETHERNET] = [3.33e-6, 3.7e-6, 5.6e-6];

/** Vendors give NVLink's bytes for both directions together. */
export const nvlink = (both: number, most = 8): Link => ({ kind: "NVLink", bytes: both / 2, latency: INSIDE, most });

/** AMD's links, for both directions together: seven from each device of eight to the others. */
export const fabric = (both: number): Link => ({ kind: "Infinity Fabric", bytes: both / 2, latency: INSIDE, most: 8 });

/**
 * Sixteen lanes of PCI Express of a generation: 16, 32 ... GT/s from the fourth on, less 128b/130b coding (PCI-SIG). Up to eight
 * devices are at one host, as servers with cards are sold.
 */
export function pcie(generation: 3 | 4 | 5, lanes = 16): Link {
  return { kind: "PCIe", bytes: ((2 ** generation * 1e9 * lanes) / 8) * (128 / 130), latency: INSIDE, most: 8 };
}

/** A port of so many gigabits per second for each device. */
export const infiniband = (gigabits: number): Link => ({
  kind: "InfiniBand",
  bytes: (gigabits * 1e9) / 8,
  latency: INFINIBAND,
});

/** As `infiniband`, by Ethernet, which joins `most` devices where it is a cable between them. */
export const ethernet = (gigabits: number, most?: number): Link => ({
  kind: "Ethernet",
  bytes: (gigabits * 1e9) / 8,
  latency: ETHERNET,
  ...(most && { most }),
});

/** Macs by Thunderbolt 5, 80 Gb/s each way; its remote memory access joins up to four that are each cabled to each (macOS 26.2). */
export const thunderbolt: Link = { kind: "Thunderbolt", bytes: 10e9, latency: ETHERNET, most: 4 };

/** Chips of a pod, for both directions of all its links together. */
export const pod = (both: number, most: number): Link => ({ kind: "ICI", bytes: both / 2, latency: INSIDE, most });
