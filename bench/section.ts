/** What a section measures and how its lines are printed. */
import type { Work } from "./peer.ts";

/** One engine at one size. Rates are in the table's unit per second; ratios are this engine's rate by the peer's. */
export interface Line {
  readonly engine: string;
  readonly median: number;
  readonly best: number;
  /** By peer: ratio of medians, ratio of best samples, and the least that the project asks for, if anything. */
  readonly ratios?: readonly Ratio[];
  readonly note?: string;
}
export interface Ratio {
  readonly to: string;
  readonly median: number;
  readonly best: number;
  readonly target?: number | undefined;
}
export interface Table {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
}

/** What every section gets. */
export interface Plan {
  readonly rounds: number;
  /** Seconds of each turn of a kernel. */
  readonly seconds: number;
  /** Whether every ratio is wanted within ten minutes: shorter texts, and fewer cases that take long. */
  readonly quick: boolean;
  readonly threads: readonly number[];
  /** Where the training case lies. */
  readonly folder: string;
  /** A checkout of another version of Biform, built, to measure beside this one. */
  readonly base: string | undefined;
  /** What `busy` measures. */
  readonly works: readonly Work[];
  /** Numbers of processes that compete for the cores. */
  readonly competitors: readonly number[];
  readonly report: (line: string) => void;
  /** Filled with the version of every engine that was started. */
  readonly versions: Map<string, string>;
}

/** Ratio of two lines' rates, or none where the peer is missing. */
export function ratio(line: Line, peer: Line | undefined, target?: number): Ratio[] {
  if (!peer) return [];
  return [
    {
      to: peer.engine,
      median: line.median / peer.median,
      best: line.best / peer.best,
      ...(target === undefined ? {} : { target }),
    },
  ];
}

/** The table as text of at most 100 columns. */
export function print(table: Table): string {
  const rows = [[`${table.title} (${table.unit})`, "median", "best", "ratio to", "median", "best", "asked"]];
  for (const line of table.lines) {
    const cells = [line.engine, number(line.median), number(line.best)];
    const ratios = line.ratios?.length ? line.ratios : [undefined];
    ratios.forEach((r, i) => {
      const own = i === 0 ? cells : ["", "", ""];
      rows.push([
        ...own,
        r?.to ?? "",
        r ? number(r.median) : "",
        r ? number(r.best) : "",
        r?.target ? `>= ${Number(r.target.toPrecision(2))}` : "",
      ]);
    });
    if (line.note) rows.push([`  ${line.note}`]);
  }
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => (row.length > 1 ? (row[column]?.length ?? 0) : 0))),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 || i === 3 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function number(x: number): string {
  if (!Number.isFinite(x)) return "-";
  return x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
}
