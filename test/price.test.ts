import { expect, test } from "vitest";
import type { Price } from "../src/convert/convert.ts";
import { curvesOf, LEAST, priceLines, shareAt } from "../src/convert/curve.ts";
import { pricePicture } from "../src/convert/picture.ts";
import { svgText } from "../src/draw/file.ts";

/** Two layers of 8 ranks: one halves what is lost with each, one loses nothing from rank 4 on. */
const price: Price = {
  wanted: { method: "biform", c: 4, r: 4, biases: true, selection: "high", balance: 1, context: 64 },
  layers: [
    { layer: 0, lost: Array.from({ length: 9 }, (_, k) => (k === 8 ? 0 : 2 ** -k)), whole: 1 },
    { layer: 1, lost: [1, 0.3, 0.1, 0.01, 0, 0, 0, 0, 0], whole: 1 },
  ],
  before: 12,
  after: 8,
  depth: 2,
  notes: [],
};

test("curves are shares by the numbers that a token leaves, constant and turned key included", () => {
  const [first, second, mean] = curvesOf(price);
  expect(first!.points.map(([numbers]) => numbers)).toEqual([6, 7, 8, 9, 10, 11, 12, 13]);
  expect(first!.points[2]![1]).toBe(1 / 8);
  expect(second!.points.at(-1)![1]).toBe(LEAST);
  expect(shareAt(mean!, 7)).toBeCloseTo((0.25 + 0.1) / 2, 12);
});

test("a terminal shows a row for each layer and the mean, and where the asked cache is", () => {
  const lines = priceLines(price, 62);
  for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(62);
  const [first, second, mean, mark] = lines;
  expect([first, second, mean].map((line) => line!.trimStart().split("  ")[0])).toEqual(["layer 0", "layer 1", "mean"]);
  // 52 columns for 13 numbers: 8 begin at column 32, and rows begin after 10.
  expect(mark!.indexOf("^")).toBe(10 + 32);
  // At the mark the first layer has lost an eighth, ten times what the second has.
  expect(first![42]! > second![42]!).toBe(true);
  expect(first!.trimEnd().length).toBeGreaterThan(second!.trimEnd().length);
});

test("the picture is an SVG file that stands alone", () => {
  const svg = svgText(700, (canvas) => pricePicture(price, canvas));
  expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  expect(svg).toMatch(/--paper: #ffffff/);
  expect(svg.match(/<path/g)!.length).toBeGreaterThanOrEqual(3);
  expect(svg).toMatch(/7.* % in the mean, 13 % in layer 0/);
});
