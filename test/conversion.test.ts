import { expect, test } from "vitest";
import { type Cell, chapter, picture } from "../scripts/conversion/show.ts";
import { summarise } from "../src/lab/evaluate.ts";

/** Eight sequences, hard and easy ones, of a model that loses `more` nats of a token. */
const evaluation = (more: number, spread = 0.01) =>
  summarise(
    Array.from({ length: 8 }, (_, i) => {
      const original = 3 + 0.3 * Math.sin(i);
      return {
        tokens: 255,
        original,
        loss: original + more + spread * Math.cos(3 * i),
        divergence: more,
        agreement: 1 - more,
      };
    }),
  );
const cell = (method: string, size: number, more: number, given: Partial<Cell> = {}): Cell => ({
  id: `${size}-${method}`,
  part: "table",
  method,
  size,
  r: 64,
  seconds: 1,
  evaluation: evaluation(more),
  ...given,
});
const cells: Cell[] = [
  cell("original", 384, 0),
  cell("biform", 192, 0.2),
  // As far from it as its own noise.
  cell("transmla", 192, 0.201, { evaluation: evaluation(0.201, -0.01) }),
  cell("mha2mla", 192, 0.9),
  cell("biform, layers", 192, 0.1, { part: "healed", minutes: 60, healing: { steps: 10, tokensPerStep: 1024 } }),
];

test("the table has the best of each size first, bold with what cannot be told from it", () => {
  const rows = chapter(cells)
    .split("\n")
    .filter((line) => /^\| \d/.test(line))
    .map((line) => line.split("|")[2]!.trim());
  expect(rows).toEqual([
    "original, 64 turned",
    "biform, layers, healed by 10240 tokens in 60 minutes of a processor",
    "**biform, 64 turned**",
    "**transmla, 64 turned**",
    "mha2mla, 64 turned",
  ]);
  expect(chapter(cells)).toMatch(/On 2040 tokens .* in 8 sequences/);
  // e^0.9, and what is hard for both cancels.
  expect(chapter(cells)).toMatch(/\| 2\.46 \(2\.4\d to 2\.4\d\) \|/);
  const more = cell("care, layers", 192, 0.3, {
    part: "healed",
    minutes: 1.5,
    healing: { steps: 10, tokensPerStep: 1024 },
  });
  expect(chapter([...cells, more])).toMatch(
    /^Healed: .* the same 10240 tokens .* 2 cells took 1\.5 to 60 minutes of one processor each, 61\.5 together\.$/m,
  );
  expect(chapter(cells.slice(0, 4))).not.toMatch(/Healed/);
  expect(chapter([])).toBe("Nothing is measured yet.\n");
});

test("the picture has a line for each method, the healed one dashed, and the original as a rule", () => {
  const svg = picture(cells);
  for (const name of ["biform", "transmla", "mha2mla", "biform, healed", "the original"])
    expect(svg).toContain(`>${name}<`);
  expect(svg.match(/stroke-dasharray="6 3"/g)).toHaveLength(1);
});
