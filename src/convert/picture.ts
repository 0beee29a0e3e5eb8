/** Pictures of what a conversion would lose: predicted error against cache, for each layer and the whole. */
import * as Plot from "@observablehq/plot";
import { type Axis, pixels, round, tens } from "../draw/axis.ts";
import { axisX, axisY, type Canvas, draw, margins, scale } from "../draw/canvas.ts";
import { colour } from "../draw/colour.ts";
import { bytes } from "../draw/quantity.ts";
import type { Price } from "./convert.ts";
import { curvesOf, LEAST, shareAt } from "./curve.ts";

/** Predicted error against the numbers that a token leaves in a layer, and bytes of all layers: each layer thin, their mean thick. */
export function pricePicture(price: Price, canvas: Canvas): SVGSVGElement {
  const { layers, before, after, depth } = price;
  const curves = curvesOf(price);
  const height = 360;
  const most = Math.max(before, curves[0]!.points.at(-1)![0]);
  const x: Axis = { low: 0, high: most, log: false, length: canvas.width - 68 };
  const y: Axis = { low: LEAST, high: 1, log: true, length: height - 84 };
  const mean = curves.at(-1)!;
  const chosen = mean.points.findLast(([numbers]) => numbers <= after) ?? mean.points[0]!;
  const late = pixels(x, chosen[0]) > x.length / 2;
  const inBytes = (numbers: number) => bytes(2 * numbers * depth);
  const worst = curves.slice(0, -1).toSorted((a, b) => shareAt(b, after) - shareAt(a, after))[0]!;
  const marks = [
    ...curves
      .slice(0, -1)
      .map(({ points, name }) =>
        Plot.lineY(points, { x: "0", y: "1", stroke: colour(1), strokeOpacity: 0.3, title: () => name }),
      ),
    Plot.lineY(mean.points, { x: "0", y: "1", stroke: colour(0), strokeWidth: 2.5 }),
    Plot.ruleX([after], { strokeDasharray: "3 3", strokeOpacity: 0.6 }),
    Plot.dot([chosen], { x: "0", y: "1", r: 5, fill: colour(0) }),
    Plot.text([chosen], {
      x: "0",
      y: "1",
      text: () => `${percent(chosen[1])} in the mean, ${percent(shareAt(worst, after))} in ${worst.name}`,
      dx: late ? -10 : 10,
      dy: -12,
      textAnchor: late ? "end" : "start",
      fontWeight: 600,
      fill: "currentColor",
      stroke: "var(--paper)",
      strokeWidth: 3,
    }),
  ];
  const what = weighed(price)
    ? "what the latent's loss changes of outputs"
    : "squared length that the latent leaves out";
  const words = {
    title: `Share of ${what}, against cache`,
    description: `A thin line for each of ${layers.length} layers, a thick one for their mean; ${before} numbers a token and layer before.`,
  };
  return draw(canvas, words, {
    height,
    ...margins,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, `↑ share of ${what}`, percent, tens(y, 6)),
      ...axisX(
        "numbers per token and layer; bytes per token at 16 bits →",
        (n) => `${n} (${inBytes(n)})`,
        round(x, 110),
      ),
      ...marks,
    ],
  });
}

const weighed = ({ wanted }: Price) => wanted.method === "biform";
const percent = (x: number) => `${Number((100 * x).toPrecision(2))} %`;
