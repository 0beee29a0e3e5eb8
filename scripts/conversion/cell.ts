// What is kept of a measured conversion, and how its numbers are written.
import type { Evaluation } from "../../src/lab/evaluate.ts";
import type { Found } from "../../src/lab/needle.ts";
import type { Interval } from "../../src/lab/statistics.ts";
import type { Speeds } from "../../src/measure/measure.ts";

/** What was measured of one conversion. */
export interface Cell {
  readonly id: string;
  readonly part: "table" | "calibration" | "needles" | "speed" | "healed";
  readonly method: string;
  /** Numbers that a token leaves in a layer, and how many of them are turned. */
  readonly size: number;
  readonly r?: number;
  readonly evaluation?: Evaluation;
  /** Of a text that is none of those looked at. */
  readonly elsewhere?: Evaluation;
  readonly look?: string;
  readonly found?: readonly Found[];
  readonly speeds?: Speeds;
  readonly minutes?: number;
  readonly healing?: { readonly steps: number; readonly tokensPerStep: number };
  readonly seconds: number;
}

/** A number in so many digits; from 100 on whole. */
export const show = (x: number, digits = 3) => (x >= 100 ? x.toFixed(0) : Number(x.toPrecision(digits)).toString());
/** A mean, and its interval where there is one. */
export const ends = ({ mean, low, high }: Interval, digits = 3) =>
  low === null || high === null
    ? show(mean, digits)
    : `${show(mean, digits)} (${show(low, digits)} to ${show(high, digits)})`;

const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
/** A table of Markdown. */
export const table = (heads: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [row(heads), row(heads.map(() => "---")), ...rows.map(row)].join("\n");
