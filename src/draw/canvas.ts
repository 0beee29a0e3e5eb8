/**
 * What every picture shares: labels at the ends of lines, and drawing by Observable Plot into the document given (a browser's own,
 * or one made on the server). Text and axes are in the current colour.
 */
import * as Plot from "@observablehq/plot";
import { type Axis, pixels, valueAt } from "./axis.ts";
import { colour } from "./colour.ts";
import { spread } from "./label.ts";

/** Where to draw, and how wide in pixels; heights follow. */
export interface Canvas {
  document: Document;
  width: number;
}

/** Pixels from one line of a label to the next. */
export const lineHeight = 15;
const fontSize = 12;

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

/** Plot's options for the scale of an axis. */
export function scale({ low, high, log }: Axis): Plot.ScaleOptions {
  return { type: log ? "log" : "linear", domain: [low, high], label: null };
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
