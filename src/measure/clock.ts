import { turn } from "../device/turn.ts";

/** Seconds since some moment. */
export type Clock = () => number;

/** What passes on the wall. */
export const wall: Clock = () => performance.now() / 1000;

/** Seconds of a batch of runs: enough for clocks that tick and for the odd disturbance to even out. */
const BATCH = 0.025;
/** Seconds after which whoever draws progress or waits for Ctrl-C gets a turn. */
const TURN = 0.05;

/** What is timed: `run` may only enqueue, and `fence` then comes when all of it is done. */
export interface Timed {
  readonly run: () => void;
  readonly fence: () => Promise<void>;
}

/** Mean seconds of a run in each of several batches that together take about `seconds`, two at least. */
export async function batchTimes({ run, fence }: Timed, seconds: number, clock: Clock = wall): Promise<number[]> {
  const times: number[] = [];
  let runs = 1;
  let turned = wall();
  for (let all = 0; all < seconds || times.length < 2; ) {
    const start = clock();
    for (let i = 0; i < runs; i++) run();
    await fence();
    const taken = Math.max(1e-9, clock() - start);
    times.push(taken / runs);
    all += taken;
    // The first run compiles and pages memory in, so it only says how many are a batch; the second may say better.
    runs = Math.max(1, Math.ceil((Math.min(BATCH, seconds / 2) / taken) * runs));
    if (wall() - turned < TURN) continue;
    await turn();
    turned = wall();
  }
  return times;
}

/** About how long `batchTimes` takes where a run takes `run` seconds. */
export function batchSeconds(run: number, seconds: number): number {
  return Math.max(seconds, 2 * run);
}

/**
 * The lower quartile of such times: whoever else runs only ever adds, so what lies above says little; but a processor clock now and
 * then leaves something out, so the least says nothing.
 */
export function typicalTime(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[(times.length - 1) >> 2]!;
}

/** Mean seconds of a run in each of several batches, on the wall, where each run follows another one (`before`) that is not counted. */
export async function timesAfter(before: () => void, { run, fence }: Timed, seconds: number): Promise<number[]> {
  const [batch, end] = [8, wall() + seconds];
  const times: number[] = [];
  do {
    let taken = 0;
    for (let i = 0; i < batch; i++) {
      before();
      await fence();
      const start = wall();
      run();
      await fence();
      taken += wall() - start;
    }
    times.push(taken / batch);
  } while (wall() < end);
  return times;
}
