/** When tokens of many requests came, and what follows from it. */
import type { Many } from "../peer.ts";

/** Times of tokens, a list per request. Seconds. */
export type Times = readonly (readonly number[])[];

/** What a run of requests that all came at `start` gives. */
export function summarise(start: number, times: Times, more: Partial<Pick<Many, "cold" | "beside">> = {}): Many {
  const first = times.map((one) => one[0]! - start);
  const between = times.flatMap((one) => one.slice(1).map((time, i) => time - one[i]!));
  // While all of them write.
  const from = Math.max(...times.map((one) => one[0]!));
  const to = Math.min(...times.map((one) => one.at(-1)!));
  const written = times.flat().filter((time) => time > from && time <= to).length;
  return { first, between, rate: written / (to - from), cold: more.cold ?? Number.NaN, beside: more.beside ?? [] };
}

/** Token `i` of request `request`: other text for each, spread over any vocabulary of 512 or more. */
export const idOf = (request: number, i: number): number => ((i + 7919 * request) * 2654435761) % 509;

/** What all requests begin with, then a request's own. */
export function promptOf(request: number, shared: number, own: number): number[] {
  const ids = Array.from({ length: shared }, (_, i) => idOf(0, i));
  for (let i = 0; i < own; i++) ids.push(idOf(request + 1, i));
  return ids;
}

/** The clock, in seconds. */
export const now = (): number => performance.now() / 1000;
