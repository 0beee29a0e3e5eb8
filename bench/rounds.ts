/** Interleaved rounds: on a noisy machine two engines are compared only by turns taken close together. */
import { setTimeout } from "node:timers/promises";

/** Who takes part: each turn gives the median and the best seconds of one unit of work. */
export interface Contestant {
  readonly name: string;
  turn(): Promise<{ median: number; best: number }>;
}

/** Over all rounds: the median of the turns' medians, and the best sample there was. Seconds. */
export interface Result {
  readonly name: string;
  readonly median: number;
  readonly best: number;
}

/**
 * Every contestant once per round, each round starting with another. A pause before each turn lets the threads of the one
 * before go to sleep (OpenBLAS and OpenMP spin for a while after their work).
 */
export async function interleave(rounds: number, contestants: readonly Contestant[]): Promise<Result[]> {
  const turns = contestants.map(() => [] as { median: number; best: number }[]);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contestants.length; i++) {
      const at = (i + round) % contestants.length;
      await setTimeout(60);
      turns[at]!.push(await contestants[at]!.turn());
    }
  }
  return contestants.map(({ name }, i) => ({
    name,
    median: median(turns[i]!.map((turn) => turn.median)),
    best: Math.min(...turns[i]!.map((turn) => turn.best)),
  }));
}

/** The middle one of an odd number of values, the mean of the middle two of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
