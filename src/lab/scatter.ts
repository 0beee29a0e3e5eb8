/** Pictures of what a variant is worth against what it keeps. Each is undefined where the result holds nothing to draw. */
import * as Plot from "@observablehq/plot";
import { around, decades, pixels, powers, round, tickDigits, valueAt } from "../draw/axis.ts";
import { axisX, axisY, type Canvas, draw, lineHeight, margins, scale, short, textWidth } from "../draw/canvas.ts";
import { colour, symbol } from "../draw/colour.ts";
import { type Box, place, spread } from "../draw/label.ts";
import { bytes, loss } from "../draw/quantity.ts";
import type { Comparison, VariantResult } from "./result.ts";

/** What is drawn upwards: a mean over the seeds with its interval, and how its numbers are written. */
interface Measure {
  /** Where a state of fixed size is among the variants, caches are compared at this many tokens instead of per token. */
  readonly tokens: number;
  readonly of: (variant: VariantResult) => Mean | undefined;
  readonly title: string;
  readonly label: string;
  readonly better: string;
  readonly write: (value: number, digits: number) => string;
}

type Mean = VariantResult["loss"];

/** Loss against cache bytes: a point per variant with the interval of its mean. */
export function lossAgainstCache(result: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const measure = {
    tokens: 4096,
    of: ({ loss }: VariantResult) => loss,
    title: "Held-out loss",
    label: "↑ held-out loss, nats per token",
    better: "Lower left",
    write: loss,
  };
  return againstCache(result, canvas, measure);
}

/** The share of right answers against cache bytes, of a task: as the loss, at the length of its rows. */
export function accuracyAgainstCache(result: Comparison, canvas: Canvas): SVGSVGElement | undefined {
  const { length } = result.settings;
  const measure = {
    tokens: typeof length === "number" ? length : 1,
    of: ({ accuracy }: VariantResult) => accuracy && within(accuracy),
    title: "Right answers",
    label: "↑ right answers, %",
    better: "Upper left",
    write: (value: number, digits: number) => loss(100 * value, Math.max(0, digits - 2)),
  };
  return againstCache(result, canvas, measure);
}

/** An interval of shares as far as shares go. */
function within({ mean, low, high }: Mean): Mean {
  return { mean, low: low === null ? null : Math.max(0, low), high: high === null ? null : Math.min(1, high) };
}

function againstCache(
  { variants }: Comparison,
  canvas: Canvas,
  { tokens, of, title, label, better, write }: Measure,
): SVGSVGElement | undefined {
  const inBytes = variants.every(({ cacheBytes }) => cacheBytes !== undefined);
  const long = inBytes && variants.some(({ stateBytes }) => stateBytes);
  const unit = long ? `at ${tokens} tokens, state included` : "per token";
  const shown = variants.flatMap((variant, index) => {
    const { spec, cacheBytes, stateBytes, cacheValuesPerTokenPerLayer } = variant;
    const size = long ? tokens * cacheBytes! + stateBytes! : inBytes ? cacheBytes! : cacheValuesPerTokenPerLayer;
    const { mean = null, low = null, high = null } = of(variant) ?? {};
    if (mean === null || size <= 0) return [];
    return [{ index, spec, name: short(spec), size, mean, low: low ?? mean, high: high ?? mean }];
  });
  if (shown.length === 0) return undefined;
  // Many variants get room for their names, and stand so near each other that the axis stays true.
  const crowd = Math.max(0, shown.length - 9);
  const height = 340 + 16 * crowd;
  const length = canvas.width - 68;
  const free = Math.min(0.36 * length, 12 + Math.max(...shown.map(({ name }) => textWidth(name))));
  const x = decades(
    shown.map(({ size }) => size),
    free,
    length,
  );
  const y = around(
    shown.flatMap(({ low, high }) => [low, high]),
    0.12,
    height - 84,
  );
  // Variants of equal cache would cover each other: they stand side by side instead, as near as can be told apart.
  const across = spread(
    shown.map(({ size }) => pixels(x, size)),
    crowd ? 4 : 15,
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
    const [named, stroke] = [places[at]!, colour(index)];
    const told = `${spec}: ${title.toLowerCase()} ${write(mean, 4)}, ${inBytes ? bytes(size) : `${size} values`} ${unit}`;
    return [
      Plot.ruleX([centre], { x: centre!, y1: low, y2: high, stroke, strokeWidth: 2 }),
      ...(low < high ? [Plot.ruleY([low, high], { x1: left!, x2: right!, stroke, strokeWidth: 2 })] : []),
      Plot.dot([mean], { x: centre!, y: mean, r: 5, symbol: symbol(index), fill: stroke, title: () => told }),
      Plot.text([name], {
        x: valueAt(x, named.x),
        y: valueAt(y, y.length - named.y),
        text: () => name,
        textAnchor: named.anchor,
        fontWeight: 600,
        fill: "currentColor",
        stroke: "var(--paper)",
        strokeWidth: 3,
      }),
    ];
  });
  const [ticks, values] = [powers(x, x.length / 60), round(y, 45)];
  const name = inBytes ? `cache ${unit}, all layers →` : "cache values per token and layer →";
  const words = {
    title: `${title} against cache ${unit}`,
    description: `A point per variant; the bar is the 95 % interval of its mean over the seeds. ${better} is better.`,
  };
  return draw(canvas, words, {
    height,
    ...margins,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, label, (value) => write(value, tickDigits(values)), values),
      ...axisX(name, inBytes ? bytes : String, ticks),
      ...marks,
    ],
  });
}
