/**
 * Seconds of what ranks send each other. Ranks of a group lie in nodes: `inside` of them share one, whose link each uses alone, and
 * between nodes each has its own port. Work and sending do not overlap.
 */
import { linkSeconds } from "./achieve.ts";
import type { Group } from "./group.ts";
import type { Link } from "./link.ts";

type Joined = Pick<Group, "node" | "link" | "network">;

/** Ranks that send each other something: how many, and how many of them share a node. */
export interface Ring {
  readonly ranks: number;
  readonly inside: number;
}

/** So many ranks at a distance of so many ranks from each other: those with neighbouring numbers share a node. */
export function ringOf({ node }: Joined, ranks: number, apart = 1): Ring {
  return { ranks, inside: Math.min(ranks, Math.max(1, Math.floor(node / apart))) };
}

const over = (link: Link | undefined, sent: number, hops: number) =>
  sent > 0 && link ? linkSeconds(link, sent) + hops * link.latency : 0;

/**
 * Each rank adds up what all have, so many bytes: n (T - 1) / T are sent and the same gathered again, first within each node and then,
 * of a share for each rank of a node, between nodes.
 */
export function allReduceSeconds({ link, network }: Joined, { ranks, inside }: Ring, bytes: number): number {
  const nodes = ranks / inside;
  const within = (2 * bytes * (inside - 1)) / inside;
  const between = (2 * (bytes / inside) * (nodes - 1)) / nodes;
  return over(link, within, 2) + over(network, between, 2);
}

/** Each rank sends as much to each other, so many bytes in all with what it keeps; links and ports are used at the same time. */
export function allToAllSeconds({ link, network }: Joined, { ranks, inside }: Ring, bytes: number): number {
  const within = (bytes * (inside - 1)) / ranks;
  const between = (bytes * (ranks - inside)) / ranks;
  return Math.max(over(link, within, 1), over(network, between, 1));
}

/**
 * Each of `tokens` goes to `chosen` experts over the ranks, so many bytes each time. Many tokens go to a node once and are passed on
 * inside it (DeepEP's normal kernels); few go to each rank by themselves (its low-latency kernels).
 */
export function dispatchSeconds(
  joined: Joined,
  ring: Ring,
  { tokens, chosen, bytes, once }: { tokens: number; chosen: number; bytes: number; once: boolean },
): number {
  const { ranks, inside } = ring;
  const nodes = ranks / inside;
  if (!once || nodes === 1) return allToAllSeconds(joined, ring, tokens * chosen * bytes);
  const visits = (nodes - 1) * (1 - (1 - 1 / nodes) ** chosen);
  const passed = (tokens * chosen * bytes * (inside - 1)) / inside;
  return Math.max(over(joined.link, passed, 1), over(joined.network, tokens * visits * bytes, 1));
}

/** One rank sends so many bytes to one of the next stage, which lies in another node where a stage fills its nodes. */
export function sendSeconds({ node, link, network }: Joined, stage: number, bytes: number): number {
  return over(stage % node === 0 && network ? network : link, bytes, 1);
}
