import type { Machine, Rate } from "./crossover.ts";
import type { Host } from "./host.ts";
import type { Link } from "./link.ts";

/**
 * What kernels achieve of what datasheets promise, one share per kind of work for all machines and models, from published
 * microbenchmarks on one machine, the H800:
 * - arithmetic: 660 of 989 TFLOP/s in attention over latents (FlashMLA, README of 2025-04-22)
 * - memory: 3000 of 3350 GB/s (FlashMLA, README)
 * - network: 160 of 200 GB/s by NVLink and 39 of 50 GB/s by InfiniBand (DeepEP V1, docs/legacy.md)
 * - a kernel in a CUDA graph starts 1.3 us after the one before it (Hazy Research, "Look Ma, No Bubbles!", on an H100)
 */
export const achieved = { compute: 0.67, memory: 0.9, network: 0.8, op: 1.3e-6 } as const;

/** The machine as kernels find it rather than as its datasheet has it. */
export function achievable(machine: Machine): Machine {
  const { contract, attend } = machine;
  const rate = ({ bytes, flops, ...rest }: Rate): Rate => ({
    ...rest,
    bytes: bytes * achieved.memory,
    flops: flops * achieved.compute,
  });
  return {
    ...machine,
    contract: { few: rate(contract.few), many: rate(contract.many) },
    attend: { few: rate(attend.few), many: rate(attend.many), shared: rate(attend.shared) },
    op: achieved.op,
  };
}

/** A host's rates as kernels find them. */
export const achievableRates =
  ({ rates }: Pick<Host, "rates">): Host["rates"] =>
  (weights, cache) =>
    achievable(rates(weights, cache));

/** Seconds of so many bytes over a link, beside its latency. */
export function linkSeconds({ bytes }: Pick<Link, "bytes">, sent: number): number {
  return sent / (bytes * achieved.network);
}
