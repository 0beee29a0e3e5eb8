import { longestOf } from "../../cost/longest.ts";

/** One thing that an engine allocates: cells of so many bytes, of which there are the more the longer the sequences are. */
export interface Part {
  readonly what: "cache" | "window" | "index" | "state";
  /** Bytes of a cell: of a token, a pooled entry, a page, a state; of all layers that have it. */
  readonly bytes: number;
  /** Cells of all sequences together where each has so many tokens. Never falls. */
  readonly cells: (tokens: number) => number;
  /** Cells that one more token of each sequence adds in the long run: 0 for states, and for windows, which are full then. */
  readonly rate: number;
}

/** The line a + b S under the steps of an engine's memory. */
export interface Line {
  /** a: bytes that do not grow, states and windows that are full. */
  readonly fixed: number;
  /** b: bytes that one more token of each sequence adds in the long run. */
  readonly perToken: number;
}

/** The context at which every window is full: what does not grow has reached its size. */
const FULL = 2 ** 48;

/** Bytes of everything where each sequence has so many tokens: a step function, pages and padding included. */
export function bytesAt(parts: readonly Part[], tokens: number): number {
  let sum = 0;
  for (const { bytes, cells } of parts) sum += bytes * cells(tokens);
  return sum;
}

/** What does not grow, and what grows by the token; the steps of pages and padding lie on or above this line. */
export function lineOf(parts: readonly Part[]): Line {
  return {
    fixed: bytesAt(
      parts.filter(({ rate }) => rate === 0),
      FULL,
    ),
    perToken: parts.reduce((sum, { bytes, rate }) => sum + bytes * rate, 0),
  };
}

/** Finds the most tokens of each sequence that fit into a room of bytes: the inverse of the steps themselves, not of the line. Infinity where no length fills it. */
export const longestIn = (parts: readonly Part[]): ((room: number) => number) =>
  longestOf((tokens) => bytesAt(parts, tokens));

/** The least multiple of `unit` that is not below `count`. */
export const padTo = (count: number, unit: number) => unit * Math.ceil(count / unit);
