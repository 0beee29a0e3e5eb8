/** Pictures of losses: how they differ and how they fell. Each is undefined where the result holds nothing to draw. */
import * as Plot from "@observablehq/plot";
import { type Axis, around, round, tickDigits } from "../draw/axis.ts";
import { axisX, axisY, type Canvas, draw, endLabels, margins, scale, short, textWidth } from "../draw/canvas.ts";
import { colour, dash, symbol } from "../draw/colour.ts";
import { loss, withSign } from "../draw/quantity.ts";
import type { Curve } from "../train/train.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { rank } from "./verdict.ts";

/** Each variant's loss minus the best one's, paired by seed, with its interval: what the verdict rests on. */
export function differences(result: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const { best, standings } = rank(result);
  const rows = standings.flatMap(({ variant, difference, separated }, index) =>
    variant === best || !Number.isFinite(difference.mean) ? [] : [{ variant, difference, separated, index }],
  );
  if (!best || rows.length === 0) return undefined;
  const rowHeight = 46;
  const ends = rows.flatMap(({ difference: { mean, low, high } }) => [mean, low ?? mean, high ?? mean]);
  const x = around([0, ...ends], 0.08, canvas.width - 28);
  const marks = rows.flatMap(({ variant, difference, separated, index }, row) => {
    const { mean } = difference;
    const [low, high, stroke, y] = [difference.low ?? mean, difference.high ?? mean, colour(index), row + 0.64];
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
        text: () => short(variant.spec, canvas.width < 420 ? 16 : 30),
        textAnchor: "start",
        fontWeight: 600,
        fill: "currentColor",
        stroke: "var(--paper)",
        strokeWidth: 3,
      }),
      Plot.text([y], { x: x.high, y: row + 0.2, text: () => `${withSign(mean, 4)}, ${said}`, textAnchor: "end" }),
    ];
  });
  const ticks = round(x, 60);
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
      ...axisX(
        `loss minus that of ${short(best.spec)}, nats per token →`,
        (value) => (value === 0 ? "0" : withSign(value, tickDigits(ticks))),
        ticks,
      ),
      ...marks,
    ],
  });
}

/** How variants learned: of a comparison, or of one that is still at it. */
export interface Learning {
  readonly spec: string;
  readonly seeds: readonly Pick<VariantResult["seeds"][number], "seed" | "heldOut" | "training">[];
}

/** A variant's losses at one step: of how many seeds, their sum, the least and the most. */
interface Spread {
  seeds: number;
  sum: number;
  least: number;
  most: number;
}

/** A variant's curve over the seeds: mean, least and most loss at every step all its seeds have. */
function band({ seeds }: Learning, minus?: Learning): { step: number; mean: number; least: number; most: number }[] {
  const others = new Map(minus?.seeds.map((other) => [other.seed, other]));
  // Summed as curves come by: a table for each of thousands of seeds would be more than all their losses.
  const spreads = new Map<number, Spread>();
  let curves = 0;
  for (const { seed, heldOut, training } of seeds) {
    const lines = others.get(seed);
    const own = heldOut ?? training;
    const other = heldOut ? lines?.heldOut : lines?.training;
    if (!own || (minus && !other)) continue;
    curves++;
    for (const [at, step] of own.steps.entries()) {
      const [value, taken] = [own.losses[at]!, other ? lossAt(other, step, at) : 0];
      if (value !== null && taken !== null) widen(spreads, step, value - taken);
    }
  }
  return [...spreads].flatMap(([step, { seeds: known, sum, least, most }]) =>
    known === curves ? [{ step, mean: sum / known, least, most }] : [],
  );
}

/** A curve's loss at a step, which stands at the place given as a rule; null where it has none. */
function lossAt({ steps, losses }: Curve, step: number, place: number): number | null {
  return losses[steps[place] === step ? place : steps.indexOf(step)] ?? null;
}

function widen(spreads: Map<number, Spread>, step: number, value: number): void {
  const spread = spreads.get(step);
  if (!spread) spreads.set(step, { seeds: 1, sum: value, least: value, most: value });
  else {
    spread.seeds++;
    spread.sum += value;
    spread.least = Math.min(spread.least, value);
    spread.most = Math.max(spread.most, value);
  }
}

/** Loss curves over the steps with bands from the lowest to the highest seed; `versusFirst` takes the first's away. */
export function lossCurves(
  { variants }: { readonly variants: readonly Learning[] },
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
  // The first quarter of a run falls steeply and alike for all; the axis is for what comes after.
  const late = lines.flatMap(({ points }) => points.filter(({ step }) => step - x.low >= (x.high - x.low) / 4));
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
  const ticks = round(y, 45);
  const digits = tickDigits(ticks);
  return draw(canvas, words, {
    height,
    ...margins,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(
        y,
        words.label,
        (value) => (view === "loss" || value === 0 ? loss(value, digits) : withSign(value, digits)),
        ticks,
      ),
      ...axisX("step →", String, round(x, 60)),
      ...marks,
      ...endLabels(ends, x, y),
    ],
  });
}
