/** What the proof found, in pictures and digits. */
import * as Plot from "@observablehq/plot";
import { axisX, axisY, type Canvas, draw, escapeHtml, round, scale, scientific } from "biform/web";
import { equal, type Proof } from "./proof.ts";

const least = 1e-17;

/** The difference on a scale of powers of ten, beside what rounding may explain. */
export function ruler(proof: Proof, canvas: Canvas): SVGSVGElement {
  const { relative, tolerance } = proof;
  const at = Math.min(10, Math.max(least, relative));
  const colour = equal(proof) ? "var(--v3)" : "var(--v2)";
  const ticks = [1e-16, 1e-12, 1e-8, 1e-4, 1];
  const words = {
    title: "Largest relative difference",
    description: `${scientific(relative)}; float64's rounding may explain up to ${scientific(tolerance)}.`,
  };
  return draw(canvas, words, {
    height: 96,
    marginTop: 34,
    marginBottom: 32,
    marginLeft: 12,
    marginRight: 12,
    x: { type: "log", domain: [least, 10], label: null },
    y: { domain: [0, 1], axis: null },
    marks: [
      Plot.rectX([0], { x1: least, x2: tolerance, y1: 0, y2: 1, fill: "var(--v3)", fillOpacity: 0.16 }),
      Plot.text(["rounding of float64"], { x: least, y: 0.5, dx: 8, textAnchor: "start", fill: "var(--soft)" }),
      Plot.axisX(ticks, { text: (value: number) => (value === 1 ? "1" : value.toExponential(0)), label: null }),
      Plot.ruleX([at], { stroke: colour, strokeWidth: 3 }),
      Plot.dot([at], { x: at, y: 1, fill: colour, r: 6 }),
      Plot.text([scientific(relative)], {
        x: at,
        y: 1,
        dy: -16,
        fontWeight: 600,
        fontSize: 14,
        textAnchor: at > 1e-2 ? "end" : at < 1e-15 ? "start" : "middle",
        dx: at > 1e-2 ? 8 : at < 1e-15 ? -8 : 0,
      }),
    ],
  });
}

/** Every output of one form against the same output of the other: a straight line where the forms are one function. */
export function scatter({ outputs: { expanded, absorbed } }: Proof, canvas: Canvas): SVGSVGElement {
  const most = [...expanded, ...absorbed].reduce((most, value) => Math.max(most, Math.abs(value)), 0) * 1.06 || 1;
  const height = canvas.width * 0.86;
  const axis = (length: number) => ({ low: -most, high: most, log: false, length });
  const [x, y] = [axis(canvas.width - 64), axis(height - 84)];
  const ticks = round(x, 70);
  const text = (value: number) => String(value).replace("-", "\u2212");
  const words = {
    title: "Outputs of both forms",
    description: `${expanded.length} outputs; on the line where both forms give the same number.`,
  };
  return draw(canvas, words, {
    height,
    marginTop: 36,
    marginBottom: 48,
    marginLeft: 48,
    marginRight: 16,
    x: scale(x),
    y: scale(y),
    marks: [
      ...axisY(y, "↑ absorbed", text, ticks),
      ...axisX("expanded →", text, ticks),
      Plot.link([0], { x1: -most, y1: -most, x2: most, y2: most, stroke: "var(--line)", strokeWidth: 2 }),
      Plot.dot(expanded, { x: expanded, y: absorbed, r: 2.2, fill: "var(--v1)", fillOpacity: 0.65 }),
    ],
  });
}

/** The outputs that differ most, digit by digit. */
export function digits({ outputs: { expanded, absorbed } }: Proof): string {
  const gap = (i: number) => Math.abs(expanded[i]! - absorbed[i]!);
  const most = [...expanded.keys()].sort((a, b) => gap(b) - gap(a)).slice(0, 4);
  const written = (value: number) => value.toPrecision(17).replace("-", "\u2212");
  const rows = most.map((i) => {
    const [one, two] = [written(expanded[i]!), written(absorbed[i]!)];
    let same = 0;
    while (same < one.length && one[same] === two[same]) same++;
    const cell = (text: string) => `${escapeHtml(text.slice(0, same))}<mark>${escapeHtml(text.slice(same))}</mark>`;
    return `<tr><td>${cell(one)}</td><td>${cell(two)}</td></tr>`;
  });
  return `<table class="digits"><caption>The outputs that differ most; digits that differ are marked</caption><thead><tr><th scope="col">expanded</th><th scope="col">absorbed</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}
