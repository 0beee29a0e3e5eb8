/** What a conversion would lose by its cache: as curves, and drawn on a terminal. */
import { valueAt } from "../draw/axis.ts";
import type { Price } from "./convert.ts";
import { numbersAt, spareOf } from "./method.ts";

/** What is below this share is drawn on the lowest line. */
export const LEAST = 1e-4;

/** Share lost by rank, of each layer and in the mean, and the numbers that a token leaves in a layer at each rank. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [numbers: number, share: number])[];
}

/** The curves of a price, from rank 1 on: layers, then their mean. */
export function curvesOf({ layers, wanted }: Price): Curve[] {
  const full = Math.min(...layers.map(({ lost }) => lost.length - 1));
  const ranks = Array.from({ length: full }, (_, i) => i + 1);
  const curve = (name: string, lost: (rank: number) => number): Curve => ({
    name,
    points: ranks.map((rank) => [numbersAt(rank + spareOf(wanted), wanted), Math.max(LEAST, lost(rank))]),
  });
  const own = layers.map(({ layer, lost }) => curve(`layer ${layer}`, (rank) => lost[rank]!));
  return [...own, curve("mean", (rank) => layers.reduce((sum, { lost }) => sum + lost[rank]!, 0) / layers.length)];
}

/** A curve's share at the largest cache of its own that so many numbers hold. */
export const shareAt = ({ points }: Curve, numbers: number): number =>
  (points.findLast(([own]) => own <= numbers) ?? points[0]!)[1];

const eighths = " ▁▂▃▄▅▆▇█";

/**
 * The same on a terminal, as lines of at most `width` columns: a row for each layer, darker where more is lost, on a logarithmic
 * scale, and the mean as a curve above them.
 */
export function priceLines(price: Price, width = 72): string[] {
  const curves = curvesOf(price);
  const { after, before } = price;
  const most = Math.max(before, curves[0]!.points.at(-1)![0]);
  const columns = width - 10;
  const numbersAt = (column: number) => valueAt({ low: 0, high: most, log: false, length: columns }, column + 0.5);
  const depth = Math.log10(1 / LEAST);
  const first = curves[0]!.points[0]![0];
  const level = (share: number) => Math.round(((Math.log10(share) + depth) / depth) * (eighths.length - 1));
  const row = (curve: Curve) =>
    Array.from({ length: columns }, (_, column) => {
      const numbers = numbersAt(column);
      return numbers < first || numbers > curve.points.at(-1)![0] ? " " : eighths[level(shareAt(curve, numbers))]!;
    }).join("");
  const at = Math.min(columns - 1, Math.floor((after / most) * columns));
  const name = (text: string) => text.padStart(8);
  return [
    ...curves.map((curve) => `${name(curve.name)}  ${row(curve)}`.trimEnd()),
    `${" ".repeat(10 + at)}^ ${after}`,
    `${name("cache")}  0${`${most}`.padStart(columns - 1)}`,
    `A column is a size of cache; the higher it is, the more is lost: full 1, empty ${LEAST}, logarithmic.`,
  ];
}
