/** Pictures of the crossover: time by context, and time of a new token by chunk, with the change of form marked. */
import * as Plot from "@observablehq/plot";
import {
  type Axis,
  axisX,
  axisY,
  bytes,
  type Canvas,
  colour,
  context,
  dashes,
  decades,
  draw,
  endLabels,
  powers,
  scale,
  tens,
  textWidth,
  time,
  whole,
} from "biform/web";
import type { Exploration, Found, Point, Way } from "./explore.ts";

const looks: Readonly<Record<Way, { index: number; name: string; short: string; dash: string }>> = {
  absorbed: { index: 1, name: "absorbed", short: "absorbed", dash: dashes[0] },
  kept: { index: 2, name: "expanded, kept", short: "kept", dash: dashes[1] },
  unfolding: { index: 3, name: "expanded, unfolding", short: "unfolding", dash: dashes[3] },
};

interface Words {
  readonly title: string;
  readonly description: string;
  readonly x: string;
  readonly y: string;
}

interface Mark {
  readonly at: number;
  readonly text: string;
}

type Lines = Readonly<Partial<Record<Way, readonly Point[]>>>;

/** How a picture differs from one of predicted times: its lines are of points that were measured, beside predicted ones; or of bytes. */
interface Look {
  readonly predicted?: Lines;
  readonly unit?: "bytes";
}

/** A line for each way, named at its end, over logarithmic axes; `mark` is where one takes the other's place. */
export function picture(
  lines: Lines,
  mark: Mark | undefined,
  words: Words,
  canvas: Canvas,
  { predicted = {}, unit }: Look = {},
) {
  const height = 330;
  const guesses = Object.entries(predicted) as [Way, readonly Point[]][];
  const ways = Object.entries(lines) as [Way, readonly Point[]][];
  const nameOf = (way: Way) => (canvas.width < 480 ? looks[way].short : looks[way].name);
  const [marginLeft, marginRight] = [60, 24 + Math.max(...ways.map(([way]) => textWidth(nameOf(way))))];
  const all = [...ways, ...guesses].flatMap(([, points]) => points);
  const x: Axis = {
    low: Math.min(...all.map(([at]) => at)),
    high: Math.max(...all.map(([at]) => at)),
    log: true,
    length: canvas.width - marginLeft - marginRight,
  };
  const y = decades(
    all.map(([, seconds]) => seconds),
    14,
    height - 84,
  );
  const inside = mark && mark.at > x.low && mark.at < x.high ? mark : undefined;
  const late = inside && Math.log(inside.at / x.low) > 0.7 * Math.log(x.high / x.low);
  return draw(canvas, words, {
    height,
    marginTop: 36,
    marginBottom: 48,
    marginLeft,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...(unit ? axisY(y, words.y, bytes, powers(y, 7)) : axisY(y, words.y, time, tens(y, 7))),
      ...axisX(words.x, (value) => context(Math.round(value)), powers(x, x.length / 45)),
      ...ways.map(([way, points]) =>
        Plot.lineY(points, {
          x: "0",
          y: "1",
          stroke: colour(looks[way].index),
          strokeWidth: 2.5,
          strokeDasharray: looks[way].dash,
        }),
      ),
      ...guesses.flatMap(([way, points]) => [
        Plot.lineY(points, { x: "0", y: "1", stroke: colour(looks[way].index), strokeOpacity: 0.45, strokeWidth: 1.2 }),
        Plot.dot(lines[way] ?? [], { x: "0", y: "1", r: 3.5, fill: colour(looks[way].index) }),
      ]),
      ...(inside
        ? [
            Plot.ruleX([inside.at], { stroke: "currentColor", strokeOpacity: 0.55, strokeDasharray: "2 3" }),
            Plot.text([inside.at], {
              x: inside.at,
              y: y.high,
              text: () => inside.text,
              fontWeight: 600,
              dy: 10,
              dx: late ? -8 : 8,
              textAnchor: late ? "end" : "start",
              fill: "currentColor",
              stroke: "var(--paper)",
              strokeWidth: 4,
            }),
          ]
        : []),
      ...endLabels(
        ways.map(([way, points]) => ({ ...pointOf(points.at(-1)!), text: nameOf(way), index: looks[way].index })),
        x,
        y,
      ),
    ],
  });
}

const pointOf = ([x, y]: Point) => ({ x, y });

/** Time of a decoding step of one layer, by tokens in all. */
export function decodingPicture({ step, batch }: Exploration, found: Found, canvas: Canvas): SVGSVGElement {
  const { decode, decodeFrom, machineName } = found;
  const mark = { at: decodeFrom, text: `from ${whole(Math.ceil(decodeFrom))} tokens on` };
  return picture(
    decode,
    mark,
    {
      title: `Decoding on ${machineName}`,
      description: `Predicted time of one layer's attention for ${step} new tokens in ${batch} sequences, by tokens of a sequence. ${decodeText(found)}`,
      x: "tokens of a sequence →",
      y: "↑ time of a step, one layer",
    },
    canvas,
  );
}

/** Time of a new token of a prefill step, by new tokens. */
export function prefillingPicture({ context: tokens }: Exploration, found: Found, canvas: Canvas): SVGSVGElement {
  const { prefill, chunk, machineName } = found;
  return picture(
    prefill,
    { at: chunk, text: `up to ${whole(Math.floor(chunk))} new tokens` },
    {
      title: `Prefill over a cached prefix on ${machineName}`,
      description: `Predicted time of a new token in one layer's attention, by new tokens of the step, at ${tokens} tokens in all. ${prefillText(found, tokens)}`,
      x: "new tokens of a step →",
      y: "↑ time for each new token",
    },
    canvas,
  );
}

/** Which cache decodes faster, in words. */
export function decodeText({ decodeFrom, decode }: Found): string {
  if (!Number.isFinite(decodeFrom)) return "Expanded over kept keys and values decodes faster at every context.";
  if (decodeFrom <= decode.absorbed[0]![0]) return "Absorbed over latents decodes faster at every context.";
  return `Absorbed over latents decodes faster than expanded over kept keys and values from ${whole(Math.ceil(decodeFrom))} tokens on.`;
}

/** Which form a prefill over latents takes, in words. */
export function prefillText({ chunk }: Found, context: number): string {
  if (chunk >= context) return `A prefill at ${whole(context)} tokens in all is faster absorbed, whatever its size.`;
  if (chunk < 1) return `A prefill at ${whole(context)} tokens in all is faster expanded, whatever its size.`;
  return `A prefill at ${whole(context)} tokens in all is faster absorbed up to ${whole(Math.floor(chunk))} new tokens, and expanded beyond.`;
}
