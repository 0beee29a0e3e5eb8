// The table and the picture of docs/convert.md, from the cells that scripts/conversion.ts keeps.
import * as Plot from "@observablehq/plot";
import { type Axis, around, round, valueAt } from "../../src/draw/axis.ts";
import { axisX, axisY, type Canvas, draw, endLabels, margins, scale, textWidth } from "../../src/draw/canvas.ts";
import { colour, dashes, symbol } from "../../src/draw/colour.ts";
import { svgText } from "../../src/draw/file.ts";
import { bytes } from "../../src/draw/quantity.ts";
import type { Evaluation } from "../../src/lab/evaluate.ts";
import { exceeds, meanInterval } from "../../src/lab/statistics.ts";
import { type Cell, ends, show, table } from "./cell.ts";
import { pairedTables } from "./paired.ts";

/** Whether two evaluations of the same sequences differ by more than their paired interval leaves open. */
function differs(a: Evaluation, b: Evaluation): boolean {
  return exceeds(meanInterval(a.sequences.map(({ loss }, i) => loss - b.sequences[i]!.loss)));
}

/** Everything that the cells say, as the generated part of docs/convert.md. */
export function chapter(cells: readonly Cell[]): string {
  const of = (part: Cell["part"]) => cells.filter((cell) => cell.part === part);
  const quality = [...of("table"), ...of("healed")].filter(({ evaluation }) => evaluation);
  const parts = [
    quality.length ? qualityTable(quality) : "",
    pairedTables(quality),
    of("calibration").length ? calibrationTable(of("calibration")) : "",
    of("needles").length ? needleTable(of("needles")) : "",
    of("speed").length ? speedTable(of("speed")) : "",
  ].filter(Boolean);
  return parts.length ? `${parts.join("\n\n")}\n` : "Nothing is measured yet.\n";
}

/** Fewest numbers last, the best of a size first. */
const bySize = (a: Cell, b: Cell) => b.size - a.size || a.evaluation!.perplexity.mean - b.evaluation!.perplexity.mean;

function qualityTable(cells: readonly Cell[]): string {
  const rows = cells.toSorted(bySize).map((cell, _, all) => {
    const { method, size, r, evaluation, minutes, healing } = cell;
    const { perplexity, ratio, divergence, agreement } = evaluation!;
    const best = all.find((other) => other.size === size && !other.healing)!;
    const alone = all.filter((other) => other.size === size && !other.healing).length < 2;
    // The best untrained one of a size is bold, and so are those that cannot be told from it.
    const bold = !healing && !alone && (cell === best || !differs(evaluation!, best.evaluation!));
    const name = healing
      ? `${method}, healed by ${healing.steps * healing.tokensPerStep} tokens in ${minutes} minutes of a processor`
      : `${method}${r && method !== "exact" ? `, ${r} turned` : ""}`;
    const mark = (text: string) => (bold ? `**${text}**` : text);
    return [
      size,
      mark(name),
      mark(ends(perplexity)),
      ends(ratio),
      ends(divergence),
      ends({
        mean: 100 * agreement.mean,
        low: agreement.low && 100 * agreement.low,
        high: agreement.high && 100 * agreement.high,
      }),
    ];
  });
  const healed = cells.filter(({ healing }) => healing);
  const [untrained, trained] = [cells.find(({ healing }) => !healing), healed[0]].map((of) => of && readBy(of));
  const others = untrained && trained && untrained !== trained ? `, healed ones on ${trained}` : "";
  return [
    "![Perplexity against the numbers that a token leaves in a layer, by method](conversion.svg)",
    `On ${untrained ?? trained} of WikiText-2's test text${others}, float32; in brackets 95 % by Student's t over sequences, of the column "by the original's" paired. Calibrated on 8192 tokens of its validation text. Bold: the best untrained one of a size, and what cannot be told from it.`,
    ...(healed.length ? [healedWords(healed)] : []),
    table(["numbers", "method", "perplexity", "by the original's", "KL, nats", "greedy, %"], rows),
  ].join("\n\n");
}

const readBy = ({ evaluation }: Cell) => `${evaluation!.tokens} tokens in ${evaluation!.sequences.length} sequences`;

/** What was trained how long: an hour is shared by all cells, since one for each would be a day of two cores. */
function healedWords(cells: readonly Cell[]): string {
  const [least, most] = [Math.min, Math.max].map((of) => of(...cells.map(({ minutes }) => minutes!)));
  const all = cells.reduce((sum, { minutes }) => sum + minutes!, 0);
  const tokens = new Set(cells.map(({ healing }) => healing!.steps * healing!.tokensPerStep));
  return `Healed: each conversion's attention alone towards what the original's layers add, on the same ${[...tokens].join(" or ")} tokens of the validation text in the same order, at one rate and seed. An hour of two cores was to be shared by all cells alike, not given to each, which would take a day: ${cells.length} cells took ${show(least!)} to ${show(most!)} minutes of one processor each, ${show(all)} together.`;
}

function calibrationTable(cells: readonly Cell[]): string {
  const rows = cells.map(({ look, evaluation, elsewhere }) => [
    look!.replace(".txt", ""),
    ends(evaluation!.ratio),
    ends(elsewhere!.ratio),
  ]);
  const { method, size, r } = cells[0]!;
  return [
    `Calibrated on other text (${method}, ${size} numbers, ${r} turned; perplexity by the original's):`,
    table(["looked at", "WikiText-2, test", "tiny Shakespeare, last tenth"], rows),
  ].join("\n\n");
}

const nameOf = ({ method, size }: Cell) => (method === "original" ? method : `${size}, ${method}`);

function needleTable(cells: readonly Cell[]): string {
  const sorted = cells.toSorted((a, b) => b.size - a.size);
  const rows = sorted.map((cell) => [
    nameOf(cell),
    ...cell.found!.map(({ greedy, needles, likelihood }) => `${greedy} of ${needles} (${show(likelihood.mean, 2)})`),
  ]);
  return [
    "Numbers of five digits hidden in tiny Shakespeare: found greedily, and the mean log p of their tokens, by tokens of the prompt:",
    table(["", ...sorted[0]!.found!.map(({ length }) => `${length}`)], rows),
  ].join("\n\n");
}

function speedTable(cells: readonly Cell[]): string {
  const rows = cells
    .toSorted((a, b) => b.size - a.size)
    .flatMap((cell) =>
      cell.speeds!.decode.map(({ form, context, tokensPerSecond }) => {
        const prefill = cell.speeds!.prefill.find((each) => each.form === form && each.tokens === context)!;
        const held = cell.speeds!.memory.find((each) => each.context === context)!;
        return [nameOf(cell), form, context, bytes(held.bytes), show(prefill.tokensPerSecond), show(tokensPerSecond)];
      }),
    );
  return [
    "Measured here, all weights in float32: bytes of the cache in float32, tokens per second.",
    table(["", "form", "context", "cache", "prefill", "decode"], rows),
  ].join("\n\n");
}

/** Perplexity against numbers per token and layer: a line for each method, dashed where it is healed, the original as a rule. */
export function picture(cells: readonly Cell[]): string {
  return svgText(760, (canvas) => lines(cells, canvas));
}

function lines(cells: readonly Cell[], canvas: Canvas): SVGSVGElement {
  const points = cells.filter(({ part, evaluation }) => evaluation && (part === "table" || part === "healed"));
  const original = points.find(({ method }) => method === "original");
  const named = Map.groupBy(
    points.filter(({ method }) => method !== "original" && method !== "exact"),
    ({ method, part }) => (part === "healed" ? `${method.split(",")[0]}, healed` : method),
  );
  const series = [...named].map(([name, own], index) => ({
    name,
    index,
    own: own.toSorted((a, b) => b.size - a.size),
  }));
  const height = 400;
  const base = original?.evaluation?.perplexity.mean ?? 1;
  const widest = Math.max(0, ...series.map(({ name }) => textWidth(name)));
  // What has lost everything is drawn at the edge, so that the rest can be told apart.
  const most = 12 * base;
  const x: Axis = {
    low: 0,
    high: Math.max(1, ...points.map(({ size }) => size)),
    log: false,
    length: canvas.width - 76 - widest,
  };
  const y: Axis = { ...around([base, most], 0.05, height - 84), low: 0.9 * base, high: most, log: true };
  const at = ({ evaluation }: Cell) => Math.min(most, evaluation!.perplexity.mean);
  const marks = series.flatMap(({ name, index, own }) => [
    Plot.lineY(own, {
      x: "size",
      y: at,
      stroke: colour(index + 1),
      strokeWidth: 2,
      strokeDasharray: name.endsWith("healed") ? dashes[1] : dashes[0],
    }),
    Plot.dot(own, { x: "size", y: at, r: 4, symbol: symbol(index + 1), fill: colour(index + 1) }),
    ...own.flatMap(({ size, evaluation }) => {
      const { low, high } = evaluation!.perplexity;
      if (low === null || high === null || low >= most) return [];
      return [
        Plot.ruleX([size], {
          x: size,
          y1: Math.max(y.low, low),
          y2: Math.min(most, high),
          stroke: colour(index + 1),
          strokeOpacity: 0.5,
        }),
      ];
    }),
  ]);
  const ends = series.map(({ name, index, own }) => ({
    x: own[0]!.size,
    y: at(own[0]!),
    text: name,
    index: index + 1,
  }));
  const ticks = [1, 1.5, 2, 3, 5, 8, 12].map((by) => by * base);
  const rule = original
    ? [
        Plot.ruleY([base], { strokeDasharray: "2 3", strokeOpacity: 0.7 }),
        Plot.text([base], { x: valueAt(x, 4), y: base, text: () => "the original", textAnchor: "start", dy: -8 }),
      ]
    : [];
  const words = {
    title: "Perplexity against cache, by method",
    description:
      "WikiText-2's test text; bars are 95 % intervals over sequences, which all methods share. Lower left is better.",
  };
  return draw(canvas, words, {
    height,
    ...margins,
    marginRight: 24 + widest,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ perplexity", (value) => show(value), ticks),
      ...axisX("numbers per token and layer →", String, round(x, 60)),
      ...rule,
      ...marks,
      ...endLabels(ends, x, y),
    ],
  });
}
