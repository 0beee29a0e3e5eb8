/** The pictures of what a variant costs: time per decoded token, and memory. */
import * as Plot from "@observablehq/plot";
import { type Axis, decades, powers, thin } from "../draw/axis.ts";
import { axisX, axisY, type Canvas, draw, endLabels, margins, scale, short, textWidth } from "../draw/canvas.ts";
import { colour, dashes, symbol } from "../draw/colour.ts";
import { bytes, context } from "../draw/quantity.ts";
import type { Comparison } from "./result.ts";

/** Milliseconds per decoded token against cached tokens for one variant: a line per form, the others' best in grey. */
export function decodeTime({ variants }: Comparison, at: number, canvas: Canvas): SVGSVGElement | undefined {
  const times = variants.map(({ decode }) =>
    Map.groupBy(
      decode.flatMap(({ form, context, tokensPerSecond }) =>
        context > 0 ? [{ form, context, time: 1000 / tokensPerSecond }] : [],
      ),
      ({ form }) => form,
    ),
  );
  const forms = [...(times[at] ?? new Map())] as [string, { context: number; time: number }[]][];
  if (forms.length === 0) return undefined;
  const all = times.flatMap((own) => [...own.values()].flat());
  const height = 230;
  const lengths = [...new Set(all.map(({ context }) => context))].sort((a, b) => a - b);
  const marginRight =
    22 + Math.max(...times.flatMap((own) => [...own.keys()].map((form) => textWidth(short(form, 12)))));
  const x: Axis = {
    low: lengths[0]!,
    high: Math.max(lengths.at(-1)!, lengths[0]! * 1.01),
    log: true,
    length: canvas.width - margins.marginLeft - marginRight,
  };
  const y = decades(
    all.map(({ time }) => time),
    6,
    height - 84,
  );
  const best = (own: (typeof times)[number]) =>
    lengths.flatMap((context) => {
      const here = [...own.values()].flat().filter((entry) => entry.context === context);
      return here.length > 0 ? [{ context, time: Math.min(...here.map(({ time }) => time)) }] : [];
    });
  const line = { x: "context", y: "time" } as const;
  const others = times.flatMap((own, other) =>
    other === at ? [] : [Plot.lineY(best(own), { ...line, stroke: "currentColor", strokeOpacity: 0.25 })],
  );
  const own = forms.flatMap(([, points], form) => [
    Plot.lineY(points, {
      ...line,
      sort: "context",
      stroke: colour(at),
      strokeWidth: 2,
      strokeDasharray: dashes[form % dashes.length]!,
    }),
    Plot.dot(points, { ...line, r: 3, fill: colour(at), symbol: symbol(at) }),
  ]);
  const ends = forms.map(([form, points]) => {
    const last = points.reduce((far, point) => (point.context > far.context ? point : far));
    return { x: last.context, y: last.time, text: short(form, 12), index: at };
  });
  const words = {
    title: `Decode time per token of ${variants[at]!.spec}`,
    description:
      "Milliseconds per token against tokens in the cache, both logarithmic, a line per form; in grey the best of each other variant.",
  };
  return draw(canvas, words, {
    height,
    ...margins,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ ms per token", (value) => String(Number(value.toPrecision(6))), powers(y, 5)),
      ...axisX("tokens in the cache →", context, thin(lengths, x, 32)),
      ...others,
      ...own,
      ...endLabels(ends, x, y),
    ],
  });
}

/** Cache bytes of the whole model against context: a line per variant, dashed in turn where lines coincide. */
export function memoryAgainstContext({ variants }: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const lines = variants.flatMap(({ spec, memory }, index) => {
    const points = (memory ?? []).filter(({ context, bytes }) => context > 0 && bytes > 0);
    return points.length > 1 ? [{ index, spec, points, key: JSON.stringify(points) }] : [];
  });
  if (lines.length === 0) return undefined;
  const height = 340;
  const roomy = canvas.width >= 420;
  const texts = lines.map(({ spec, points }) =>
    roomy ? `${short(spec)} ${bytes(points.at(-1)!.bytes)}` : short(spec, 16),
  );
  const marginLeft = 66;
  const marginRight = 24 + Math.max(...texts.map(textWidth));
  const contexts = [...new Set(lines.flatMap(({ points }) => points.map(({ context }) => context)))].sort(
    (a, b) => a - b,
  );
  const x: Axis = {
    low: contexts[0]!,
    high: contexts.at(-1)!,
    log: true,
    length: canvas.width - marginLeft - marginRight,
  };
  const y = decades(
    lines.flatMap(({ points }) => points.map(({ bytes }) => bytes)),
    10,
    height - 84,
  );
  const marks = lines.map(({ index, points, key }) => {
    const alike = lines.filter((line) => line.key === key);
    const [turn, period] = [alike.findIndex((line) => line.index === index), 8];
    return Plot.lineY(points, {
      x: "context",
      y: "bytes",
      stroke: colour(index),
      strokeWidth: 2.5,
      strokeLinecap: "butt",
      ...(alike.length > 1
        ? { strokeDasharray: `${period} ${period * (alike.length - 1)}`, strokeDashoffset: -period * turn }
        : {}),
    });
  });
  const ends = lines.map(({ index, points }, at) => ({
    x: points.at(-1)!.context,
    y: points.at(-1)!.bytes,
    text: texts[at]!,
    index,
  }));
  const words = {
    title: "Cache of the whole model against context",
    description: `Both axes are logarithmic. At ${contexts.at(-1)} tokens: ${lines.map(({ spec, points }) => `${spec} ${bytes(points.at(-1)!.bytes)}`).join(", ")}.`,
  };
  return draw(canvas, words, {
    height,
    ...margins,
    marginLeft,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ cache, one sequence", bytes, powers(y, 6)),
      ...axisX("tokens in the cache →", context, thin(contexts, x, 32)),
      ...marks,
      ...endLabels(ends, x, y),
    ],
  });
}
