/** The pictures of a plan as text: one symbol per line, logarithmic axes, a legend below; no colour, no wider than asked. */
import { plot } from "simple-ascii-chart";
import { type Axis, powers, tens } from "../../draw/axis.ts";
import { bytes, compact, context, tickTime } from "../../draw/quantity.ts";
import { clip, toAscii } from "../../draw/text.ts";
import {
  type Curves,
  decodeCurves,
  type Memory,
  memoryCurves,
  type Point,
  prefillCurves,
  type Roof,
  roofsOf,
  workName,
} from "../curve.ts";
import type { Planned } from "./report.ts";

/** Columns at most, and lines of the plot itself. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

interface Series {
  readonly symbol: string;
  readonly name: string;
  readonly points: readonly Point[];
}

interface Labels {
  readonly title: string;
  readonly x: (value: number) => string;
  readonly y: (value: number) => string;
  readonly xTicks: (axis: Axis) => number[];
  readonly yTicks: (axis: Axis) => number[];
}

/** Series over logarithmic axes; later ones lie above earlier ones. */
function chart(series: readonly Series[], labels: Labels, { width, height }: Size): string {
  const all = series.flatMap(({ points }) => points);
  const range = (at: 0 | 1): Axis => {
    const values = all.map((point) => point[at]);
    return { low: Math.min(...values), high: Math.max(...values), log: true, length: 1 };
  };
  const [x, y] = [range(0), range(1)];
  const [xTicks, yTicks] = [labels.xTicks(x), labels.yTicks(y)];
  const margin = Math.max(...yTicks.map((tick) => labels.y(tick).length)) + 6;
  const columns = Math.max(20, width - margin);
  const lines = series.map(({ points }) =>
    fillColumns(points, columns, x).map(([a, b]): [number, number] => [Math.log10(a), Math.log10(b)]),
  );
  // The library does not say whose point it asks about, but it asks series after series, each from its first point on.
  let at = -1;
  const drawn = plot(lines, {
    width: columns,
    height,
    customXAxisTicks: xTicks.map(Math.log10),
    customYAxisTicks: yTicks.map(Math.log10),
    formatter: (value, { axis }) =>
      axis === "x" ? labels.x(nearest(xTicks, value)) : labels.y(nearest(yTicks, value)),
    lineFormatter: ({ plotX, plotY, index }) => {
      if (index === 0) at++;
      return { x: plotX, y: plotY, symbol: series[at]!.symbol };
    },
  });
  const rows = drawn.split("\n").map((row) => row.trimEnd());
  const named = series.flatMap(({ symbol, name }) => (name ? [`${symbol} ${toAscii(name)}`] : []));
  return [labels.title, ...rows.filter((row) => row !== ""), ...legend(named, width)]
    .map((row) => clip(row, width))
    .join("\n");
}

/** The tick that a logarithm was taken of. */
function nearest(ticks: readonly number[], logarithm: number): number {
  const off = (tick: number) => Math.abs(Math.log10(tick) - logarithm);
  return ticks.reduce((best, tick) => (off(tick) < off(best) ? tick : best), ticks[0] ?? 10 ** logarithm);
}

/** A point in every column that a line passes, on straight pieces between those given. */
function fillColumns(points: readonly Point[], columns: number, { low, high }: Axis): Point[] {
  const step = (Math.log(high / low) || 1) / (columns - 1);
  return points.flatMap(([x, y], at) => {
    const next = points[at + 1];
    if (!next) return [[x, y] as Point];
    const pieces = Math.max(1, Math.ceil(Math.log(next[0] / x) / step));
    return Array.from({ length: pieces }, (_, piece): Point => {
      const share = piece / pieces;
      return [x * (next[0] / x) ** share, y * (next[1] / y) ** share];
    });
  });
}

/** Names side by side, in as many lines as they need. */
function legend(names: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const name of names) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + name.length + 3 <= width) lines[lines.length - 1] = `${last}   ${name}`;
    else lines.push(`  ${name}`);
  }
  return lines;
}

const letters = "abcdefghijklmnopqrstuvwxyz";

/** One model's forms as * and o; several models' smallest form as letters. */
function seriesOf(curves: readonly Curves[]): Series[] {
  const [first, ...others] = curves;
  if (others.length === 0)
    return first!.lines.map(({ form, points }) => ({ symbol: form === "absorbed" ? "*" : "o", name: form, points }));
  return curves.map(({ model, lines }, at) => ({
    symbol: letters[at % 26]!,
    name: model,
    points: lines.at(-1)!.points,
  }));
}

const inTokens = (value: number) => context(Math.round(value));

function crossings(curves: readonly Curves[], text: (tokens: number) => string): Series[] {
  const [first, ...others] = curves;
  if (others.length > 0 || !first?.crossing) return [];
  return [{ symbol: "X", name: text(first.crossing[0]), points: [first.crossing] }];
}

const tokenTicks = (axis: Axis) => powers(axis, 9);
const timeTicks = (axis: Axis) => tens(axis, 8);

/** Time of a decoding step by tokens of a sequence, the crossover as X. */
export function decodeChart(curves: readonly Curves[], machine: string, size: Size): string {
  const said = curves.length === 1 && curves[0]!.crossingText ? `; absorbed is faster: ${curves[0]!.crossingText}` : "";
  const labels = {
    title: `Time of a decoding step by tokens of a sequence, ${toAscii(machine)}${said}`,
    x: inTokens,
    y: tickTime,
    xTicks: tokenTicks,
    yTicks: timeTicks,
  };
  return chart(
    [...seriesOf(curves), ...crossings(curves, (at) => `absorbed is faster from ${Math.ceil(at)} tokens on`)],
    labels,
    size,
  );
}

/** Time of a step of so many new tokens, where it should change form as X. */
export function prefillChart(
  curves: readonly Curves[],
  { machine, tokens }: { machine: string; tokens: number },
  size: Size,
): string {
  const labels = {
    title: `Time of a step by its new tokens, ${context(tokens)} in all, ${toAscii(machine)}`,
    x: inTokens,
    y: tickTime,
    xTicks: tokenTicks,
    yTicks: timeTicks,
  };
  return chart(
    [...seriesOf(curves), ...crossings(curves, (at) => `absorbed is faster up to ${Math.floor(at)} new tokens`)],
    labels,
    size,
  );
}

/** Cache bytes by tokens; for one model, the room of machines beside the weights as lines of dashes. */
export function memoryChart(memories: readonly Memory[], size: Size): string {
  const series = seriesOf(memories);
  const all = series.flatMap(({ points }) => points);
  const [least, most] = [Math.min(...all.map(([, y]) => y)), Math.max(...all.map(([, y]) => y))];
  const [from, to] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x))];
  const rooms =
    memories.length === 1 ? memories[0]!.rooms.filter(({ bytes }) => bytes > least / 2 && bytes < most * 8) : [];
  const ceilings = rooms.map(
    ({ machine, bytes: room }, at): Series => ({
      symbol: String((at + 1) % 10),
      name: `${machine}: room for ${bytes(room)}`,
      points: [
        [from, room],
        [to, room],
      ],
    }),
  );
  const labels = {
    title: "Cache by tokens of a sequence",
    x: inTokens,
    y: bytes,
    xTicks: tokenTicks,
    yTicks: (axis: Axis) => powers(axis, 8),
  };
  return chart([...ceilings, ...series], labels, size);
}

/** Machines' ceilings as letters, and the work of one model under them. */
export function rooflineChart(roofs: readonly Roof[], size: Size): string {
  const works = roofs.flatMap((roof) => roof.works.map((work) => ({ at: work.at, name: workName(work, roof.works) })));
  const symbols: Readonly<Record<string, string>> = { prefill: "P", "decode expanded": "E", "decode absorbed": "A" };
  const ridges = roofs.map(({ flops, bytes }) => flops / bytes);
  const xs = [...works.map(({ at }) => at[0]), ...ridges];
  const [low, high] = [Math.min(...xs) / 2, Math.max(...xs) * 2];
  const ceilings = roofs.map(
    ({ machine, flops, bytes }, at): Series => ({
      symbol: letters[at % 26]!,
      name: machine,
      points: [
        [low, low * bytes],
        [flops / bytes, flops],
        [high, flops],
      ],
    }),
  );
  const labels = {
    title: "Roofline: FLOP/s by FLOPs per byte moved",
    x: compact,
    y: compact,
    xTicks: (axis: Axis) => tens(axis, 8),
    yTicks: (axis: Axis) => tens(axis, 8),
  };
  // Work of one kind has one entry in the legend, whatever the number of machines.
  const placed = works.map(({ at, name }, index): Series => {
    const first = works.findIndex((work) => work.name === name) === index;
    return { symbol: symbols[name] ?? "D", name: first ? name : "", points: [at] };
  });
  return chart([...ceilings, ...placed], labels, size);
}

/** All pictures of plans that share their settings; times are those of the first machine, the roofline that of the first model. */
export function chartsOf(planned: readonly Planned[], size: Size): string {
  const { blueprint, settings } = planned[0]!;
  const of = <T>(draw: (one: Planned) => T) => planned.map(draw);
  const charts = [
    memoryChart(
      of((one) => memoryCurves(one.blueprint, one.settings)),
      size,
    ),
  ];
  const [host] = settings.hosts;
  if (host) {
    const [machine, tokens] = [host.name, settings.context];
    charts.push(
      decodeChart(
        of((one) => decodeCurves(one.blueprint, one.settings, host)),
        machine,
        size,
      ),
      prefillChart(
        of((one) => prefillCurves(one.blueprint, one.settings, host)),
        { machine, tokens },
        size,
      ),
      rooflineChart(roofsOf(blueprint, settings), size),
    );
  }
  return `${charts.join("\n\n")}\n`;
}
