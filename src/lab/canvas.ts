/**
 * What every picture of a comparison shares: axes in data units, one colour and symbol per variant, labels at the ends
 * of lines, and drawing by Observable Plot into the document given (a browser's own, or one made on the server).
 * Colours are CSS variables, so that the page decides on light and dark; text and axes are in the current colour.
 */
import * as Plot from "@observablehq/plot";
import { spread } from "./label.ts";

/** Where to draw, and how wide in pixels; heights follow. */
export interface Canvas {
  document: Document;
  width: number;
}

/** Colours that tell variants apart; past them they come again with other symbols and dashes. */
export const colours = 8;
/** Line patterns, for the forms of one variant or for a second round of colours. */
export const dashes = ["none", "6 3", "2 3", "8 3 2 3"] as const;
export const lineHeight = 15;
const fontSize = 12;
const symbols = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"] as const;

/** The colour of the variant at `index`, as CSS. */
export function colour(index: number): string {
  return `var(--v${index % colours})`;
}

/** The symbol of the variant at `index`; seven symbols and eight colours make 56 pairs. */
export function symbol(index: number): (typeof symbols)[number] {
  return symbols[index % symbols.length]!;
}

/** The line pattern of the variant at `index`: solid until the colours run out. */
export function dash(index: number): string {
  return dashes[Math.floor(index / colours) % dashes.length]!;
}

/** A name short enough to stand in a picture; the middle goes first, since specs differ at both ends. */
export function short(name: string, limit = 20): string {
  if (name.length <= limit) return name;
  const half = Math.floor((limit - 1) / 2);
  return `${name.slice(0, limit - 1 - half)}…${name.slice(-half)}`;
}

/** Pixels a text takes in the pictures' font, from above. */
export function textWidth(text: string): number {
  return text.length * fontSize * 0.58;
}

/** An axis in data units, and its length in pixels. */
export interface Axis {
  low: number;
  high: number;
  log: boolean;
  length: number;
}

/** An axis around `values`, a share `margin` of their span free at both ends; never of zero length. */
export function around(values: readonly number[], margin: number, length: number): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const pad = (most - least) * margin || Math.abs(least) * 0.01 || 1;
  return { low: least - pad, high: most + pad, log: false, length };
}

/** A logarithmic axis around positive `values`, `free` pixels empty at both ends; at least a factor of four between. */
export function decades(values: readonly number[], free: number, length: number): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(most / least, 4);
  const [middle, half] = [Math.sqrt(most * least), Math.sqrt(span) * span ** (free / (length - 2 * free))];
  return { low: middle / half, high: middle * half, log: true, length };
}

/** Pixels from the low end of an axis to `value`. */
export function pixels({ low, high, log, length }: Axis, value: number): number {
  return length * (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
}

/** The value at so many pixels from the low end of an axis; beyond its ends too. */
export function valueAt({ low, high, log, length }: Axis, at: number): number {
  return log ? low * (high / low) ** (at / length) : low + (at / length) * (high - low);
}

/** Plot's options for the scale of an axis. */
export function scale({ low, high, log }: Axis): Plot.ScaleOptions {
  return { type: log ? "log" : "linear", domain: [low, high], label: null };
}

/** Powers of two inside an axis, about `most` of them. */
export function powers({ low, high }: Axis, most: number): number[] {
  const [first, last] = [Math.ceil(Math.log2(low)), Math.floor(Math.log2(high))];
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const found = [];
  for (let power = last; power >= first; power -= step) found.unshift(2 ** power);
  return found;
}

/** Round values along a logarithmic axis: 1, 2 and 5 of every power of ten, or fewer, so that there are about `most`. */
export function tens({ low, high }: Axis, most: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const inside = (factors: readonly number[], step = 1) =>
    Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => 10 ** (first + at * step))
      .flatMap((power) => factors.map((factor) => factor * power))
      .filter((value) => value >= low && value <= high);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const found = inside(factors);
    if (found.length <= most) return found;
  }
  return inside([1], Math.ceil((last - first + 1) / most));
}

/** Decimals that tell neighbouring ticks apart. */
export function tickDigits(ticks: readonly number[]): number {
  const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : 1;
  return Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
}

/** Names beside the right-hand ends of lines, moved apart and joined to their line by a stroke of its colour. */
export function endLabels(
  ends: readonly { x: number; y: number; text: string; index: number }[],
  x: Axis,
  y: Axis,
): Plot.Markish[] {
  const heights = ends.map((end) => pixels(y, end.y));
  const labels = spread(heights, lineHeight, 0, y.length).map((height) => valueAt(y, height));
  return ends.flatMap((end, at) => {
    const edge = pixels(x, end.x);
    const leader = { x1: end.x, x2: valueAt(x, edge + 12), y1: end.y, y2: labels[at]! };
    return [
      Plot.link([leader], { x1: "x1", x2: "x2", y1: "y1", y2: "y2", stroke: colour(end.index), strokeWidth: 1.5 }),
      Plot.text([leader], { x: "x2", y: "y2", text: () => end.text, dx: 4, textAnchor: "start" }),
    ];
  });
}

/** Draws marks with axes given, and names the picture for those who do not see it. */
export function draw(
  { document, width }: Canvas,
  { title, description }: { title: string; description: string },
  options: Plot.PlotOptions,
): SVGSVGElement {
  const svg = Plot.plot({ document, width, className: "picture", ...options }) as unknown as SVGSVGElement;
  // The page styles all pictures at once, so the copy of the style in each is left out.
  svg.querySelector("style")?.remove();
  for (const [tag, text] of [
    ["desc", description],
    ["title", title],
  ] as const) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    element.textContent = text;
    svg.prepend(element);
  }
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}. ${description}`);
  svg.setAttribute("font-size", String(fontSize));
  return svg;
}

const gridLine = { stroke: "currentColor", strokeOpacity: 0.12 };

/** Room around the axes, in pixels, for their labels and names. */
export const margins = { marginTop: 36, marginBottom: 48, marginLeft: 52, marginRight: 16 };

/** Horizontal grid and labels of a y axis; its name stands above the axis, where it is read without turning the head. */
export function axisY(
  axis: Axis,
  name: string,
  text: (value: number) => string,
  ticks: readonly number[],
): Plot.Markish[] {
  return [
    Plot.gridY(ticks, gridLine),
    Plot.axisY(ticks, { tickSize: 0, text, label: null }),
    Plot.text([name], { frameAnchor: "top-left", dx: -44, dy: -20, textAnchor: "start", fontWeight: 600 }),
    Plot.ruleY([axis.low], { strokeOpacity: 0.4 }),
  ];
}

/** Labels of an x axis, and its name below them at the right. */
export function axisX(name: string, text: (value: number) => string, ticks: readonly number[]): Plot.Markish[] {
  return [
    Plot.axisX(ticks, { text, tickSize: 4, label: null }),
    Plot.text([name], { frameAnchor: "bottom-right", dy: 36, textAnchor: "end", fontWeight: 600 }),
  ];
}

/** Round values along a linear axis, `apart` pixels or more from each other. */
export function round({ low, high, length }: Axis, apart: number): number[] {
  const rough = ((high - low) * apart) / length;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9))!;
  const found = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count++) found.push(count * step);
  return found;
}

/** As many of the values as have `apart` pixels each, the last always among them. */
export function thinned(values: readonly number[], { length }: Axis, apart: number): number[] {
  const each = Math.max(1, Math.ceil((values.length * apart) / length));
  return values.filter((_, index) => (values.length - 1 - index) % each === 0);
}
