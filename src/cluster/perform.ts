/** One run of an experiment, done on this machine and left in the store. */

import { performRun, type RunRecord } from "../lab/run.ts";
import { bestRate } from "../lab/summary.ts";
import { FormatError } from "../tensor/error.ts";
import type { Device } from "../tensor/tensor.ts";
import type { Progress } from "../train/train.ts";
import { Claim, type Pulse } from "./claim.ts";
import type { Opened, RunEntry } from "./experiment.ts";
import { keepRecord, readRecord } from "./record.ts";
import type { Store } from "./store.ts";

/** What stands about a run that is done here. */
export interface Around {
  readonly store: Store;
  readonly device: Device;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly signal: AbortSignal;
  /** Steps between checkpoints. */
  readonly every: number;
  readonly tell: (note: string) => void;
  readonly watch: (progress: Progress, loss: number | undefined, steps: number) => void;
  readonly pulse?: Pulse | undefined;
}

/** How a run ended. */
export type Outcome = "done" | "was done" | "interrupted";

/**
 * Does a run, from its checkpoint on where there is one. Nothing is run twice: what is finished stays, and what somebody else is
 * at work on is refused.
 * Throws FormatError where the run has to wait for others, its files are of another experiment or this is another version than the one
 * that laid it out, DeviceError where it is taken.
 */
export async function perform(opened: Opened, run: RunEntry, around: Around): Promise<Outcome> {
  const { store, device, tell, watch, every } = around;
  const { key, seed } = run;
  if (await readRecord(store, key, opened.id)) return "was done";
  const [own, wanted] = [around.versions.biform, opened.experiment.versions.biform];
  if (own !== wanted)
    throw new FormatError(
      `${opened.file}: ${key}: got biform ${own} here, expected ${wanted}, which laid the experiment out; do the run with that version`,
    );
  const rate = run.rate === "best" ? await findRate(opened, run, store) : run.rate;
  const matched = opened.matched.get(run.variant)!;
  const claim = await Claim.take(store, key, tell, around.pulse);
  const signal = AbortSignal.any([around.signal, claim.lost]);
  const stand = (progress: Progress, loss?: number) => {
    claim.stand(progress.step, matched.steps, loss);
    watch(progress, loss, matched.steps);
  };
  try {
    const dir = await store.openFolder(`${key}/checkpoint`);
    const record = await performRun(opened.settings, { matched, seed, rate }, opened.source(seed), device, {
      signal,
      checkpoint: { dir, every, kept: () => store.keepFolder(`${key}/checkpoint`), lost: claim.lost },
      onStart: stand,
      onStep: stand,
    });
    if (claim.lost.aborted)
      throw new FormatError(
        `${key}: got taken over by another process while this one slept, expected to own it; that one goes on`,
      );
    if (!record) return "interrupted";
    const { versions, machine } = around;
    const finished = new Date().toISOString();
    await keepRecord(store, {
      experiment: opened.id,
      key,
      engine: "biform",
      versions: { ...versions },
      machine: { ...machine },
      finished,
      record,
    });
    await store.dropFolder(`${key}/checkpoint`);
    return "done";
  } finally {
    await claim.release();
  }
}

/** The rate at which the variant's first seed ended lowest, of all that were to be tried. */
async function findRate(
  { experiment: { runs }, id, file }: Opened,
  { key, variant }: RunEntry,
  store: Store,
): Promise<number> {
  const tried: RunRecord[] = [];
  for (const run of runs) {
    if (run.variant !== variant || run.rate === "best") continue;
    const done = await readRecord(store, run.key, id);
    if (!done)
      throw new FormatError(
        `${file}: ${key}: got no result of ${run.key}, expected all rates of ${variant} tried; do that run first`,
      );
    tried.push(done.record);
  }
  return bestRate(tried, [...new Set(tried.map(({ rate }) => rate))]);
}
