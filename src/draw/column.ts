/** Text in columns, at most as wide as the project's tables. */
import { clip, tableWidth } from "./text.ts";

export type Cells = readonly (string | number)[];

/**
 * Columns under headings of one or more lines, the first and `text` ones to the left; what is too wide for the terminal loses
 * its end.
 */
export function columns(heads: readonly string[], rows: readonly Cells[], text: readonly number[] = []): string[] {
  const split = heads.map((head) => head.split("\n"));
  const height = Math.max(...split.map((lines) => lines.length));
  const above = Array.from({ length: height }, (_, at) =>
    split.map((lines) => lines[at - height + lines.length] ?? ""),
  );
  const all = [...above, ...rows.map((row) => row.map(String))];
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const left = (column: number) => column === 0 || text.includes(column);
  const lines = all.map((row) => {
    const cells = row.map((cell, at) => (left(at) ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)));
    return clip(cells.join("  ").trimEnd(), tableWidth);
  });
  const rule = "─".repeat(Math.max(...lines.map((line) => line.length)));
  return [...lines.slice(0, height), rule, ...lines.slice(height)];
}

/** Blocks of lines with an empty one between them. */
export function joinBlocks(blocks: readonly (readonly string[])[]): string {
  const there = blocks.filter((lines) => lines.length > 0);
  return `${there.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}
