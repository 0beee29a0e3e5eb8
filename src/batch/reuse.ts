import { DeviceError } from "../tensor/error.ts";
import type { Job } from "./job.ts";
import type { Prefixes, Source } from "./prefixes.ts";

/** Tokens that are worth a copy of the states: fewer are read again in a step. */
const WORTH = 16;

/**
 * Where a sequence's first tokens come from: a prefix that is kept or a sequence that runs; "later" where one that runs is about to
 * read what this one begins with, so that no two read the same; undefined where it has to read all. Scores of a prompt come from
 * running all of it.
 */
export function sourceOf(job: Job, running: readonly Job[], prefixes: Prefixes): Source | "later" | undefined {
  if (job.scoring) return undefined;
  const ids = job.tokens.subarray(0, -1);
  let best = prefixes.find(job.realm, job.tokens);
  let awaited: { other: Job; common: number } | undefined;
  for (const other of running) {
    if (other.realm !== job.realm) continue;
    const { session } = other;
    const common = commonLength(ids, other.tokens);
    const there = Math.min(common, session!.length);
    const length = session!.reachable(there);
    if (length > (best?.length ?? 0))
      best = { session: session!, common: there, length, use: () => useRunning(other, prefixes) };
    if (!other.writing && common > session!.length && common > (awaited?.common ?? 0)) awaited = { other, common };
  }
  if (!awaited || awaited.common <= (best?.length ?? 0)) return best;
  awaited.other.mark(awaited.common);
  return "later";
}

/**
 * Where a sequence that goes on from `source`, or from nothing, parts from what others have begun with, if it has to read so much up to
 * there that the next one should find its states: a prefix that is kept need not have any there.
 */
export function partingOf(job: Job, source: Source | undefined, prefixes: Prefixes): number | undefined {
  const kept = prefixes.hasState && !job.scoring ? prefixes.shared(job.realm, job.tokens) : 0;
  const common = Math.max(kept, source?.common ?? 0);
  return common >= (source?.length ?? 0) + WORTH ? common : undefined;
}

/** Keeps what a sequence has read up to a mark, for those that wait for it. States are forked there, pages can be taken back to. */
export function keepMarked(job: Job, prefixes: Prefixes): void {
  if (!prefixes.hasState || !job.takeMark()) return;
  try {
    prefixes.keep(job.realm, job.session!.fork());
    job.forked = true;
  } catch (error) {
    // Without room for it, the others read it themselves.
    if (!(error instanceof DeviceError)) throw error;
  }
}

function useRunning(other: Job, prefixes: Prefixes): void {
  prefixes.hits++;
  other.forked = true;
}

function commonLength(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}
