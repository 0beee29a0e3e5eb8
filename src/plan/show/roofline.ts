/** The roofline: what machines can do at most with work of an arithmetic intensity, and what they are predicted to do. */
import * as Plot from "@observablehq/plot";
import { decades, pixels, tens } from "../../draw/axis.ts";
import { axisX, axisY, type Canvas, draw, endLabels, margins, scale, short, textWidth } from "../../draw/canvas.ts";
import { colour, dash, symbol } from "../../draw/colour.ts";
import { compact } from "../../draw/quantity.ts";
import { type Point, type Roof, workName } from "../curve.ts";

const height = 340;

/** Ceilings of machines, a colour each, with prefill (squares) and decode (circles) of one model under them. */
export function rooflinePicture(roofs: readonly Roof[], canvas: Canvas): SVGSVGElement {
  const works = roofs.flatMap((roof, index) =>
    roof.works.map((work) => ({ ...work, index, machine: roof.machine, name: workName(work, roof.works) })),
  );
  const names = roofs.map(({ machine }) => short(machine, 16));
  const [marginLeft, marginRight] = [64, 24 + Math.max(...names.map(textWidth))];
  const ridges = roofs.map(({ flops, bytes }) => flops / bytes);
  const x = decades([...ridges, ...works.map(({ at }) => at[0])], 12, canvas.width - marginLeft - marginRight);
  const floor = Math.min(
    ...works.map(({ at }) => at[1]),
    ...roofs.map(({ bytes }) => bytes * Math.min(...works.map(({ at }) => at[0]))),
  );
  const y = decades([floor, ...roofs.map(({ flops }) => flops)], 12, height - margins.marginTop - margins.marginBottom);
  const lines = roofs.map(({ flops, bytes }, index): Plot.Markish => {
    const low = Math.max(x.low, y.low / bytes);
    const points: Point[] = [
      [low, low * bytes],
      [flops / bytes, flops],
      [x.high, flops],
    ];
    return Plot.line(points, {
      x: "0",
      y: "1",
      stroke: colour(index),
      strokeWidth: 2,
      strokeDasharray: dash(index),
      className: "roof",
    });
  });
  // Work of one kind has one intensity on all machines: a line for each, named at the top.
  const kinds = new Map(works.map(({ name, at }) => [name, at[0]]));
  const uprights = [...kinds].flatMap(([name, at]) => {
    // Roofs rise to the right: there is room above them at the left and below them at the right.
    const above = pixels(x, at) < x.length / 2;
    return [
      Plot.ruleX([at], { stroke: "currentColor", strokeOpacity: 0.35, strokeDasharray: "2 3" }),
      Plot.text([[at, above ? y.high : y.low] as Point], {
        x: "0",
        y: "1",
        text: () => name,
        rotate: -90,
        textAnchor: above ? "end" : "start",
        dx: -7,
        fill: "currentColor",
        stroke: "var(--paper)",
        strokeWidth: 3,
      }),
    ];
  });
  const dots = works.map(({ phase, at, index, name, machine }) =>
    Plot.dot([at], {
      x: "0",
      y: "1",
      r: 4.5,
      symbol: phase === "prefill" ? symbol(1) : symbol(0),
      fill: colour(index),
      title: () => `${machine}, ${name}: ${compact(at[1])}FLOP/s at ${compact(at[0])} FLOPs per byte`,
    }),
  );
  const ends = roofs.map(({ flops }, index) => ({ x: x.high, y: flops, text: names[index]!, index }));
  const said = {
    title: "Roofline",
    description: `FLOPs per second against FLOPs per byte, both logarithmic. ${works.map(({ machine, name, at }) => `${machine}, ${name}: ${compact(at[1])}FLOP/s at ${compact(at[0])} FLOPs per byte`).join("; ")}.`,
  };
  return draw(canvas, said, {
    height,
    ...margins,
    marginLeft,
    marginRight,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ FLOP/s", (value) => compact(value), tens(y, 8)),
      ...axisX("FLOPs per byte moved →", (value) => compact(value), tens(x, x.length / 40)),
      ...uprights,
      ...lines,
      ...dots,
      ...endLabels(ends, x, y),
    ],
  });
}
