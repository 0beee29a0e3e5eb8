/** The pictures of a comparison. Each returns undefined where the result holds nothing to draw it from. */
import * as Plot from "@observablehq/plot";
import {
  type Axis,
  around,
  type Canvas,
  colour,
  dash,
  dashes,
  decades,
  draw,
  endLabels,
  lineHeight,
  pixels,
  powers,
  scale,
  short,
  symbol,
  textWidth,
  tickDigits,
  valueAt,
} from "./canvas.ts";
import { type Box, place, spread } from "./label.ts";
import { bytes, context, loss, signed } from "./quantity.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { exceeds } from "./statistics.ts";
import { rank } from "./verdict.ts";

const grid = { stroke: "currentColor", strokeOpacity: 0.12 };

/** Horizontal grid and labels of a y axis; its name stands above the axis, where it is read without turning the head. */
function axisY(axis: Axis, label: string, tickFormat: (value: number) => string, ticks?: number[]): Plot.Markish[] {
  const values = ticks ? { ticks } : { ticks: 5 };
  return [
    Plot.gridY({ ...values, ...grid }),
    Plot.axisY({ ...values, tickSize: 0, tickFormat, label: null }),
    Plot.text([label], { frameAnchor: "top-left", dx: -46, dy: -20, textAnchor: "start", fontWeight: 600 }),
    Plot.ruleY([axis.low], { strokeOpacity: 0.4 }),
  ];
}

function axisX(label: string, ticks: number[], tickFormat: (value: number) => string): Plot.Markish[] {
  return [
    Plot.axisX(ticks, { tickFormat, tickSize: 4, label: null }),
    Plot.text([label], { frameAnchor: "bottom-right", dy: 36, textAnchor: "end", fontWeight: 600 }),
  ];
}

/** Loss against cache bytes per token: a point per variant with the interval of its mean. */
export function lossAgainstCache({ variants }: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const inBytes = variants.every(({ cacheBytes }) => cacheBytes !== undefined);
  const shown = variants.flatMap(({ spec, loss, cacheBytes, cacheValuesPerTokenPerLayer }, index) => {
    const size = inBytes ? cacheBytes! : cacheValuesPerTokenPerLayer;
    const { mean } = loss;
    if (mean === null || size <= 0) return [];
    return [{ index, spec, name: short(spec), size, mean, low: loss.low ?? mean, high: loss.high ?? mean }];
  });
  if (shown.length === 0) return undefined;
  const height = 340;
  const x = decades(
    shown.map(({ size }) => size),
    0.25,
    canvas.width - 68,
  );
  const y = around(
    shown.flatMap(({ low, high }) => [low, high]),
    0.12,
    height - 84,
  );
  // Variants of equal cache would cover each other: they stand side by side instead, as near as can be told apart.
  const across = spread(
    shown.map(({ size }) => pixels(x, size)),
    15,
    8,
    x.length - 8,
  );
  const down = (value: number) => y.length - pixels(y, value);
  const points = shown.map(({ name, low, high, mean }, at) => {
    const box: Box = { left: across[at]! - 6, right: across[at]! + 6, top: down(high) - 4, bottom: down(low) + 4 };
    return { x: across[at]!, y: down(mean), box, width: textWidth(name) };
  });
  const places = place(points, lineHeight, { left: 0, right: x.length, top: 0, bottom: y.length });
  const marks = shown.flatMap(({ index, spec, name, size, low, high, mean }, at) => {
    const [left, centre, right] = [-4, 0, 4].map((shift) => valueAt(x, across[at]! + shift));
    const [label, stroke] = [places[at]!, colour(index)];
    const told = `${spec}: loss ${loss(mean, 4)}, ${inBytes ? bytes(size) : `${size} values`} per token`;
    return [
      Plot.ruleX([centre], { x: centre!, y1: low, y2: high, stroke, strokeWidth: 2 }),
      ...(low < high ? [Plot.ruleY([low, high], { x1: left!, x2: right!, stroke, strokeWidth: 2 })] : []),
      Plot.dot([mean], { x: centre!, y: mean, r: 5, symbol: symbol(index), fill: stroke, title: () => told }),
      Plot.text([name], {
        x: valueAt(x, label.x),
        y: valueAt(y, y.length - label.y),
        text: () => name,
        textAnchor: label.anchor,
        fontWeight: 600,
      }),
    ];
  });
  const ticks = powers(x, canvas.width < 420 ? 4 : 7);
  const name = inBytes ? "cache per token, all layers →" : "cache values per token and layer →";
  const words = {
    title: "Held-out loss against cache size per token",
    description: "A point per variant; the bar is the 95 % interval of its mean over the seeds. Lower left is better.",
  };
  return draw(canvas, words, {
    height,
    marginLeft: 52,
    marginRight: 16,
    marginTop: 36,
    marginBottom: 48,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ held-out loss, nats per token", (value) => loss(value, tickDigits(y))),
      ...axisX(name, ticks, inBytes ? bytes : String),
      ...marks,
    ],
  });
}

/** Each variant's loss minus the best one's, paired by seed, with its interval: what the verdict rests on. */
export function differences(result: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const { best, standings } = rank(result);
  const rows = standings.flatMap(({ variant, difference, separated }, index) =>
    variant === best || !Number.isFinite(difference.mean) ? [] : [{ variant, difference, separated, index }],
  );
  if (!best || rows.length === 0) return undefined;
  const rowHeight = 40;
  const ends = rows.flatMap(({ difference: { mean, low, high } }) => [mean, low ?? mean, high ?? mean]);
  const x = around([0, ...ends], 0.08, canvas.width - 28);
  const marks = rows.flatMap(({ variant, difference, separated, index }, row) => {
    const { mean } = difference;
    const [low, high, stroke, y] = [difference.low ?? mean, difference.high ?? mean, colour(index), row + 0.66];
    const said = difference.low === null ? "one seed" : separated ? "beyond its interval" : "within its interval";
    return [
      Plot.ruleY([y], { y, x1: low, x2: high, stroke, strokeWidth: 2 }),
      ...(low < high ? [Plot.ruleX([low, high], { y1: y - 0.12, y2: y + 0.12, stroke, strokeWidth: 2 })] : []),
      Plot.dot([mean], {
        x: mean,
        y,
        r: 5,
        symbol: symbol(index),
        fill: separated ? stroke : "var(--paper)",
        stroke,
        strokeWidth: 2,
      }),
      Plot.text([y], {
        x: x.low,
        y: row + 0.2,
        text: () => short(variant.spec, 30),
        textAnchor: "start",
        fontWeight: 600,
      }),
      Plot.text([y], { x: x.high, y: row + 0.2, text: () => `${signed(mean, 4)}, ${said}`, textAnchor: "end" }),
    ];
  });
  const words = {
    title: `Held-out loss minus that of ${best.spec}`,
    description:
      "Mean over the seeds with the 95 % interval of the paired difference; filled where it leaves zero out.",
  };
  return draw(canvas, words, {
    height: rows.length * rowHeight + 62,
    marginLeft: 14,
    marginRight: 14,
    marginTop: 10,
    marginBottom: 52,
    x: scale(x),
    y: { domain: [0, rows.length], reverse: true, axis: null },
    marks: [
      Plot.ruleX([0], { strokeOpacity: 0.6 }),
      Plot.axisX({
        ticks: canvas.width < 420 ? 4 : 6,
        tickSize: 4,
        label: null,
        tickFormat: (value: number) => (value === 0 ? "0" : signed(value, tickDigits(x))),
      }),
      Plot.text([`loss minus that of ${short(best.spec)}, nats per token →`], {
        frameAnchor: "bottom-right",
        dy: 36,
        textAnchor: "end",
        fontWeight: 600,
      }),
      ...marks,
    ],
  });
}

/** A variant's curve over the seeds: mean, least and most loss at every step all its seeds have. */
function band(
  { seeds }: VariantResult,
  minus?: VariantResult,
): { step: number; mean: number; least: number; most: number }[] {
  const curves = seeds.flatMap(({ seed, heldOut, training }) => {
    const lines = minus?.seeds.find((other) => other.seed === seed);
    const own = heldOut ?? training;
    const other = heldOut ? lines?.heldOut : lines?.training;
    if (!own || (minus && !other)) return [];
    const base = new Map(other?.steps.map((step, at) => [step, other.losses[at]!]));
    return [
      new Map(
        own.steps.flatMap((step, at): [number, number][] => {
          const [value, taken] = [own.losses[at]!, minus ? (base.get(step) ?? null) : 0];
          return value === null || taken === null ? [] : [[step, value - taken]];
        }),
      ),
    ];
  });
  return [...(curves[0]?.keys() ?? [])].flatMap((step) => {
    const values = curves.map((curve) => curve.get(step));
    if (values.some((value) => value === undefined)) return [];
    const known = values as number[];
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    return [{ step, mean, least: Math.min(...known), most: Math.max(...known) }];
  });
}

/** Loss curves over the steps with bands from the lowest to the highest seed; `versusFirst` takes the first's away. */
export function lossCurves(
  { variants }: Comparison,
  canvas: Canvas,
  view: "loss" | "versusFirst" = "loss",
): SVGSVGElement | undefined {
  const first = variants[0]!;
  const lines = variants.flatMap((variant, index) => {
    const points = view === "loss" ? band(variant) : band(variant, first);
    return points.length > 1 ? [{ name: short(variant.spec), index, points }] : [];
  });
  if (lines.length === 0 || (view === "versusFirst" && lines.length < 2)) return undefined;
  const height = 340;
  const marginRight = 24 + Math.max(...lines.map(({ name }) => textWidth(name)));
  const steps = lines.flatMap(({ points }) => points.map(({ step }) => step));
  const x: Axis = {
    low: Math.min(...steps),
    high: Math.max(...steps),
    log: false,
    length: canvas.width - 52 - marginRight,
  };
  // The first tenth of a run falls steeply and alike for all; the axis is for what comes after.
  const late = lines.flatMap(({ points }) => points.filter(({ step }) => step - x.low >= (x.high - x.low) / 10));
  const y = around(
    late.flatMap(({ least, most }) => [least, most]),
    0.06,
    height - 84,
  );
  const clip = "frame" as const;
  const marks = lines.flatMap(({ index, points }) => [
    Plot.areaY(points, { x: "step", y1: "least", y2: "most", fill: colour(index), fillOpacity: 0.15, clip }),
    Plot.lineY(points, {
      x: "step",
      y: "mean",
      stroke: colour(index),
      strokeWidth: 2,
      strokeDasharray: dash(index),
      clip,
    }),
  ]);
  const ends = lines.map(({ name, index, points }) => ({
    x: points.at(-1)!.step,
    y: points.at(-1)!.mean,
    text: name,
    index,
  }));
  const words =
    view === "loss"
      ? {
          title: "Loss during training",
          label: "↑ loss, nats per token",
          description: "Mean over the seeds; the band reaches from the lowest seed to the highest.",
        }
      : {
          title: `Loss minus that of ${first.spec} during training`,
          label: `↑ loss minus that of ${short(first.spec)}`,
          description: "The same seeds and batches on both sides; mean over the seeds, band from lowest to highest.",
        };
  const digits = tickDigits(y);
  return draw(canvas, words, {
    height,
    marginLeft: 52,
    marginRight,
    marginTop: 36,
    marginBottom: 48,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, words.label, (value) =>
        view === "loss" || value === 0 ? loss(value, digits) : signed(value, digits),
      ),
      ...axisX("step →", stepTicks(x, canvas.width), String),
      ...marks,
      ...endLabels(ends, x, y),
    ],
  });
}

/** Round steps, as many as there is room for. */
function stepTicks({ low, high, length }: Axis, _width: number): number[] {
  const rough = (high - low) / Math.max(2, Math.floor(length / 60));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10));
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
  return found;
}

/** Milliseconds per decoded token against cached tokens for one variant: a line per form, the others' best in grey. */
export function decodeTime({ variants }: Comparison, at: number, canvas: Canvas): SVGSVGElement | undefined {
  const times = variants.map(({ decode }) =>
    Map.groupBy(
      decode.map(({ form, context, tokensPerSecond }) => ({ form, context, time: 1000 / tokensPerSecond })),
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
    length: canvas.width - 44 - marginRight,
  };
  const slowest = Math.max(...all.map(({ time }) => time));
  const y: Axis = { low: 0, high: slowest * 1.05, log: false, length: height - 84 };
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
      "Milliseconds per token against tokens in the cache, a line per form; in grey the best of each other variant.",
  };
  const room = Math.max(1, Math.ceil((lengths.length * 34) / x.length));
  return draw(canvas, words, {
    height,
    marginLeft: 44,
    marginRight,
    marginTop: 36,
    marginBottom: 48,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ ms per token", (value) => String(Number(value.toPrecision(6)))),
      ...axisX(
        "tokens in the cache →",
        lengths.filter((_, index) => (lengths.length - 1 - index) % room === 0),
        context,
      ),
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
  const marginRight = 24 + Math.max(...texts.map(textWidth));
  const contexts = [...new Set(lines.flatMap(({ points }) => points.map(({ context }) => context)))].sort(
    (a, b) => a - b,
  );
  const x: Axis = { low: contexts[0]!, high: contexts.at(-1)!, log: true, length: canvas.width - 66 - marginRight };
  const y = decades(
    lines.flatMap(({ points }) => points.map(({ bytes }) => bytes)),
    0.04,
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
  const room = Math.max(1, Math.ceil((contexts.length * 34) / x.length));
  return draw(canvas, words, {
    height,
    marginLeft: 66,
    marginRight,
    marginTop: 36,
    marginBottom: 48,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ cache, one sequence", bytes, powers(y, 6)),
      ...axisX(
        "tokens in the cache →",
        contexts.filter((_, index) => (contexts.length - 1 - index) % room === 0),
        context,
      ),
      ...marks,
      ...endLabels(ends, x, y),
    ],
  });
}
