import { describe, expect, test } from "vitest";
import type { Cell } from "../scripts/conversion/cell.ts";
import { chapter, picture } from "../scripts/conversion/show.ts";
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
    .split("Paired by")[0]!
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
  expect(chapter(cells)).toMatch(/On 2040 tokens in 8 sequences of/);
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
  expect(chapter(cells)).not.toMatch(/healed ones on/);
  const short = { ...more, evaluation: summarise(evaluation(0.3).sequences.slice(4)) };
  expect(chapter([...cells.slice(0, 4), short])).toMatch(
    /^On 2040 tokens in 8 sequences of WikiText-2's test text, healed ones on 1020 tokens in 4 sequences, float32;/m,
  );
  expect(chapter(cells.slice(0, 4))).not.toMatch(/Healed/);
  expect(chapter([])).toBe("Nothing is measured yet.\n");
});

describe("differences to biform's", () => {
  const healing = { steps: 10, tokensPerStep: 1024 };
  const healed = (method: string, size: number, more: number, steps = 10) =>
    cell(`${method}, layers`, size, more, { part: "healed", minutes: 1, healing: { ...healing, steps } });

  test("are paired by sequences, at each size and as much trained", () => {
    const text = chapter([
      ...cells,
      cell("exact", 384, 0),
      cell("biform", 128, 0.5),
      cell("transmla", 128, 0.3, { evaluation: evaluation(0.3, 0.02) }),
      healed("transmla", 192, 0.15),
      // Trained for longer: nothing to compare it with.
      healed("care", 192, 0.05, 90),
    ]);
    expect(text).toContain(
      "Paired by the same sequences (untrained 8, healed 8), with 95 % by Student's t over them, each interval for itself. " +
        "Untrained, by KL, `biform` beside each at so many sizes: `mha2mla` (better at 1 of 1), `transmla` (better at 1, worse at 1 of 2). " +
        "Untrained, by log perplexity, `biform` beside each at so many sizes: `mha2mla` (better at 1 of 1), " +
        "`transmla` (no different at 1, worse at 1 of 2). " +
        "Healed, by KL, `biform` beside each at so many sizes: `transmla` (better at 1 of 1). " +
        "Healed, by log perplexity, `biform` beside each at so many sizes: `transmla` (better at 1 of 1).",
    );
    const [, kl, perplexity] = text.split(/By how many nats of (?:KL|log perplexity) each other method is worse/);
    const rows = (of: string) => of.split("\n").filter((line) => /^\| (\d|num)/.test(line));
    expect(rows(kl!)).toEqual([
      "| numbers |  | mha2mla | transmla |",
      "| 192 | untrained | 0.7 (0.7 to 0.7) | 0.001 (0.001 to 0.001) |",
      "| 192 | healed |  | 0.05 (0.05 to 0.05) |",
      "| 128 | untrained |  | -0.2 (-0.2 to -0.2) |",
    ]);
    // Noise of one sign in one and of the other in the other: what is hard for both would cancel, this does not.
    expect(rows(perplexity!)[1]).toMatch(/^\| 192 \| untrained \| 0\.7 .*\| -?0\.0\d* \(-0\.0\d+ to 0\.0\d+\) \|$/);
  });

  test("of other sequences are refused", () => {
    const { sequences } = evaluation(0.2);
    const other = summarise(sequences.map((score) => ({ ...score, original: score.original + 0.1 })));
    expect(() => chapter([cell("biform", 192, 0.2), cell("care", 192, 0.3, { evaluation: other })])).toThrow(
      /192-care: got other sequences than 192-biform, expected the same/,
    );
    const fewer = summarise(sequences.slice(1));
    expect(() => chapter([cell("biform", 192, 0.2), cell("care", 192, 0.3, { evaluation: fewer })])).toThrow(
      /192-care: got other sequences/,
    );
  });
});

test("the picture has a line for each method, the healed one dashed, and the original as a rule", () => {
  const svg = picture(cells);
  for (const name of ["biform", "transmla", "mha2mla", "biform, healed", "the original"])
    expect(svg).toContain(`>${name}<`);
  expect(svg.match(/stroke-dasharray="6 3"/g)).toHaveLength(1);
});
