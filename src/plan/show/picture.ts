/** The pictures of plans, drawn alike for reports and in the page: time and memory by tokens. All axes are logarithmic. */
import * as Plot from "@observablehq/plot";
import { type Axis, decades, pixels, powers, tens, valueAt } from "../../draw/axis.ts";
import {
  axisX,
  axisY,
  type Canvas,
  draw,
  endLabels,
  lineHeight,
  margins,
  scale,
  short,
  textWidth,
} from "../../draw/canvas.ts";
import { colour, dashes } from "../../draw/colour.ts";
import { spread } from "../../draw/label.ts";
import { bytes, context, exactBytes, tickTime } from "../../draw/quantity.ts";
import type { Curves, Line, Memory, Point } from "../curve.ts";

const height = 340;

/** A line with its place in the order of colours and its name. */
interface Named extends Line {
  readonly index: number;
  readonly name: string;
}

/** Lines of one model have a colour by form; those of several a colour by model. Keys and values are dashed either way. */
function nameLines(curves: readonly Curves[]): Named[] {
  const alone = curves.length === 1;
  return curves.flatMap(({ model, lines }, at) =>
    lines.map((line) => ({
      ...line,
      index: alone ? (line.form === "absorbed" ? 1 : 2) : at,
      name: alone ? line.form : lines.length > 1 ? `${short(model, 16)} ${line.form.slice(0, 3)}.` : short(model, 20),
    })),
  );
}

const pair = { x: "0", y: "1" } as const;
const inTokens = (value: number) => context(Math.round(value));
/** Paper behind a text, so that lines do not cross it out. */
const halo = { fill: "currentColor", stroke: "var(--paper)", strokeWidth: 3 } as const;

function strokes(lines: readonly Named[]): Plot.Markish[] {
  return lines.map(({ points, form, index }) =>
    Plot.lineY(points, {
      ...pair,
      stroke: colour(index),
      strokeWidth: 2.5,
      strokeDasharray: form === "expanded" ? dashes[1] : dashes[0],
      className: `line ${form}`,
    }),
  );
}

/** A point on a line with its value in words, and a thin line down to the axis. */
function mark(at: Point, index: number, text: string, x: Axis): Plot.Markish[] {
  const late = Math.log(at[0] / x.low) > 0.6 * Math.log(x.high / x.low);
  return [
    Plot.ruleX([at[0]], { stroke: "currentColor", strokeOpacity: 0.5, strokeDasharray: "2 3" }),
    Plot.dot([at], {
      ...pair,
      r: 5,
      fill: "var(--paper)",
      stroke: colour(index),
      strokeWidth: 2,
      className: "crossing",
    }),
    Plot.text([at], {
      ...pair,
      text: () => text,
      // The lines rise: there is room above at the left, and below at the right.
      dx: late ? -8 : 8,
      dy: late ? -12 : 14,
      textAnchor: late ? "end" : "start",
      fontWeight: 600,
      ...halo,
    }),
  ];
}

/** Both axes around all lines, with room for the lines' names at the right. */
function axes(lines: readonly Named[], width: number, more: readonly number[] = []) {
  const marginLeft = 64;
  const marginRight = Math.min(0.4 * width, 24 + Math.max(...lines.map(({ name }) => textWidth(name))));
  const all = lines.flatMap(({ points }) => points);
  const x: Axis = {
    low: Math.min(...all.map(([at]) => at)),
    high: Math.max(...all.map(([at]) => at)),
    log: true,
    length: width - marginLeft - marginRight,
  };
  const y = decades([...all.map(([, value]) => value), ...more], 10, height - margins.marginTop - margins.marginBottom);
  return { x, y, marginLeft, marginRight };
}

function ends(lines: readonly Named[]) {
  return lines.map(({ points, name: text, index }) => ({ x: points.at(-1)![0], y: points.at(-1)![1], text, index }));
}

interface Words {
  readonly title: string;
  readonly description: string;
  readonly x: string;
  readonly y: string;
  readonly crossing: (tokens: number) => string;
}

function drawTimes(curves: readonly Curves[], words: Words, canvas: Canvas): SVGSVGElement {
  const lines = nameLines(curves);
  const { x, y, marginLeft, marginRight } = axes(lines, canvas.width);
  const marks = curves.flatMap(({ model, crossing }, at) => {
    if (!crossing) return [];
    const text = words.crossing(crossing[0]);
    return mark(crossing, curves.length === 1 ? 1 : at, curves.length === 1 ? text : `${short(model, 12)}: ${text}`, x);
  });
  const told = curves.flatMap(({ model, crossing, crossingText }) =>
    crossing || crossingText
      ? [`${model}: absorbed is faster ${crossing ? words.crossing(crossing[0]) : crossingText}.`]
      : [],
  );
  const said = { title: words.title, description: [words.description, ...told].join(" ") };
  return draw(canvas, said, {
    height,
    ...margins,
    marginLeft,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, words.y, tickTime, tens(y, 8)),
      ...axisX(words.x, inTokens, powers(x, x.length / 45)),
      ...strokes(lines),
      ...marks,
      ...endLabels(ends(lines), x, y),
    ],
  });
}

/** Time of a decoding step by tokens in all on a machine: over latents solid, over keys and values dashed, their crossing marked. */
export function decodePicture(curves: readonly Curves[], machine: string, canvas: Canvas): SVGSVGElement {
  const words = {
    title: `Time of a decoding step on ${machine}`,
    description:
      "Predicted time by tokens of a sequence, both logarithmic; solid over latents, dashed over keys and values.",
    x: "tokens of a sequence →",
    y: "↑ time of a decoding step",
    crossing: (tokens: number) => `from ${Math.ceil(tokens)} tokens on`,
  };
  return drawTimes(curves, words, canvas);
}

/** Time of a step of so many new tokens over what is kept: absorbed solid, unfolding dashed, and where it should change form. */
export function prefillPicture(
  curves: readonly Curves[],
  { machine, tokens }: { machine: string; tokens: number },
  canvas: Canvas,
): SVGSVGElement {
  const words = {
    title: `Time of a prefill step on ${machine}`,
    description: `Predicted time by new tokens at ${tokens} tokens in all, both logarithmic; solid absorbed, dashed expanded.`,
    x: "new tokens of a step →",
    y: `↑ time of a step, ${context(tokens)} in all`,
    crossing: (chunk: number) => `up to ${Math.floor(chunk)} new tokens`,
  };
  return drawTimes(curves, words, canvas);
}

/** Cache bytes by tokens; for one model with the room that machines leave beside the weights, and where the lines reach it. */
export function memoryPicture(memories: readonly Memory[], canvas: Canvas): SVGSVGElement {
  const lines = nameLines(memories);
  const rooms = memories.length === 1 ? memories[0]!.rooms : [];
  const [least, most] = [Math.min, Math.max].map((of) =>
    of(...lines.flatMap(({ points }) => points.map(([, y]) => y))),
  );
  // Machines far above or below what the picture shows would flatten it; the tables have them all.
  const near = rooms.filter(({ bytes }) => bytes > least! / 2 && bytes < most! * 8);
  const { x, y, marginLeft, marginRight } = axes(
    lines,
    canvas.width,
    near.map(({ bytes }) => bytes),
  );
  const labels = spread(
    near.map(({ bytes }) => pixels(y, bytes) + 8),
    lineHeight,
    0,
    y.length + 24,
  );
  const ceilings = near.flatMap(({ machine, bytes: room, ends }, at) => [
    Plot.ruleY([room], { stroke: "currentColor", strokeOpacity: 0.6, strokeDasharray: "1 3", className: "ceiling" }),
    Plot.text([[x.low, valueAt(y, labels[at]!)] as Point], {
      ...pair,
      text: () => `${short(machine, 24)}: room for ${bytes(room)}`,
      textAnchor: "start",
      dx: 4,
      ...halo,
    }),
    Plot.dot(ends, { ...pair, r: 4, fill: "var(--paper)", stroke: "currentColor", className: "end" }),
  ]);
  const last = (line: Named) => exactBytes(line.points.at(-1)![1]);
  const said = {
    title: "Cache against context",
    description: `Both axes are logarithmic; dashed where keys and values are kept. At ${inTokens(x.high)} tokens: ${lines.map((line) => `${line.name} ${last(line)}`).join(", ")}.`,
  };
  return draw(canvas, said, {
    height,
    ...margins,
    marginLeft,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ cache of all sequences", bytes, powers(y, 7)),
      ...axisX("tokens of a sequence →", inTokens, powers(x, x.length / 45)),
      ...ceilings,
      ...strokes(lines),
      ...endLabels(ends(lines), x, y),
    ],
  });
}
