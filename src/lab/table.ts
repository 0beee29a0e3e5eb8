/** The table a terminal shows at the end of a comparison: plain text, at most 100 columns, a legend below. */
import { compact, context, decimals, loss, percent } from "../draw/quantity.ts";
import { clip, tableWidth, toAscii, wrapNote } from "../draw/text.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { halfWidth } from "./statistics.ts";
import { fastest, looksAt, rank, type Standing } from "./verdict.ts";

const gap = 2;
const nameLines = 3;
const formWidth = 10;

/** Breaks a name into at most three lines, after a "-" or "+" where one is near; a longer name loses its middle. */
function breakName(name: string, width: number): string[] {
  let rest = name;
  const room = width * nameLines - 2 * nameLines;
  if (rest.length > room) rest = `${rest.slice(0, Math.ceil(room / 2))}…${rest.slice(1 - Math.floor(room / 2))}`;
  const lines = [];
  while (rest.length > width && lines.length < nameLines - 1) {
    const line = rest.slice(0, width);
    const cut = Math.max(line.lastIndexOf("-"), line.lastIndexOf("+")) + 1;
    const end = cut >= width - 2 ? cut : width;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return [...lines, clip(rest, width)];
}

function lossCell({ variant, separated }: Standing, best: VariantResult | undefined, digits: number): string {
  const half = halfWidth(variant.loss);
  const mark = variant === best ? " *" : variant.loss.mean !== null && !separated ? " ~" : "  ";
  return `${loss(variant.loss.mean, digits)}${half === null ? "" : ` ±${loss(half, digits)}`}${mark}`;
}

/** One length for all rows goes into the heading; otherwise each cell would need its own. */
function atLength(lengths: readonly (number | undefined)[]): string {
  const known = [...new Set(lengths.filter((length) => length !== undefined))];
  return known.length === 1 ? `@${context(known[0]!)}` : "longest";
}

/**
 * The comparison as lines of at most 100 columns, ending with a newline: per variant parameters, cache values per token
 * and layer, held-out loss with the half-width of its interval, bits per byte where known, and tokens per second of
 * training, prefill and decode, the latter two at the greatest length measured and in the form that was fastest there.
 * `*` marks the lowest loss, `~` a loss whose paired difference to it lies within the difference's interval.
 */
export function table(result: Comparison): string {
  const { best, standings } = rank(result);
  const digits = Math.min(4, decimals(result.variants.map(({ loss }) => halfWidth(loss))));
  const prefills = result.variants.map(({ prefill }) => fastest(prefill, ({ tokens }) => tokens));
  const decodes = result.variants.map(({ decode }) => fastest(decode, ({ context }) => context));
  const withBits = result.variants.some(({ bitsPerByte }) => bitsPerByte !== undefined);
  const withAccuracy = result.variants.some(({ accuracy }) => accuracy !== undefined);
  const rows = standings.map((standing, index) => {
    const { variant } = standing;
    const [prefill, decode] = [prefills[index], decodes[index]];
    return [
      compact(variant.parameters),
      compact(variant.cacheValuesPerTokenPerLayer),
      lossCell(standing, best, digits),
      ...(withBits ? [variant.bitsPerByte ? loss(variant.bitsPerByte.mean, 3) : "–"] : []),
      ...(withAccuracy ? [percent(variant.accuracy?.mean ?? null).replace(" %", "")] : []),
      compact(variant.train.tokensPerSecond),
      prefill ? compact(prefill.tokensPerSecond) : "–",
      decode ? compact(decode.tokensPerSecond) : "–",
      decode ? clip(toAscii(decode.form), formWidth) : "–",
    ];
  });
  const heads = [
    ["", "param-", "eters"],
    ["cache", "/token", "/layer"],
    ["", "loss", "nats/token"],
    ...(withBits ? [["", "bits", "/byte"]] : []),
    ...(withAccuracy ? [["", "right", "%"]] : []),
    ["", "train", "tok/s"],
    ["prefill", "tok/s", atLength(prefills.map((entry) => entry?.tokens))],
    ["decode", "tok/s", atLength(decodes.map((entry) => entry?.context))],
    ["", "decode", "form"],
  ];
  const widths = heads.map((head, column) =>
    Math.max(...[...head, ...rows.map((row) => row[column]!)].map((cell) => cell.length)),
  );
  const taken = widths.reduce((sum, width) => sum + gap + width, 0);
  const names = result.variants.map(({ spec }) => toAscii(spec));
  const nameWidth = Math.min(tableWidth - taken, Math.max(7, ...names.map((name) => name.length)));

  const line = (name: string, cells: readonly string[]): string => {
    const padded = cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padStart(widths[column]!)));
    return [name.padEnd(nameWidth), ...padded].join(" ".repeat(gap)).trimEnd();
  };
  const blank = heads.map(() => "");
  const lines = [0, 1, 2].map((row) =>
    line(
      row === 2 ? "variant" : "",
      heads.map((head) => head[row]!),
    ),
  );
  lines.push("─".repeat(Math.min(tableWidth, nameWidth + taken)));
  rows.forEach((row, index) => {
    const [first, ...more] = breakName(names[index]!, nameWidth);
    lines.push(line(first!, row), ...more.map((part) => line(part, blank)));
  });
  return `${[...lines, "", ...legend(standings, best, looksAt(result.settings)), ...budget(result)].join("\n")}\n`;
}

/** How many steps there were, where the machine decided it. */
function budget({ settings: { steps, fitted_to_seconds: seconds } }: Comparison): string[] {
  if (steps === undefined || typeof seconds !== "number") return [];
  return wrapNote(
    `${steps} steps for the first variant: what this machine does, all told, in ${seconds} s; --steps sets them`,
    "  ",
  );
}

function legend(standings: readonly Standing[], best: VariantResult | undefined, looks: number): string[] {
  const counts = standings.map(({ variant }) => variant.seeds.length);
  const seeds =
    Math.min(...counts) === Math.max(...counts) ? `${counts[0]}` : `${Math.min(...counts)} to ${Math.max(...counts)}`;
  const notes = [];
  if (best && standings.length > 1) notes.push("* lowest loss");
  if (standings.some(({ variant, separated }) => variant !== best && variant.loss.mean !== null && !separated))
    notes.push("~ not shown to differ: its difference to the lowest, paired by seed, lies within its 95 % interval");
  if (Math.max(...counts) > 1) notes.push(`± half of the 95 % interval of the mean over ${seeds} seeds (Student's t)`);
  else notes.push("one seed: no interval, so no difference can be told from noise; use --seeds 3");
  if (looks > 1) notes.push(`differences hold with 95 % over all ${looks} looks at which seeds might have been added`);
  return notes.flatMap((note) => wrapNote(note, "  "));
}
