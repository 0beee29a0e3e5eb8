import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { tableWidth } from "../src/draw/text.ts";
import { atEqualFlops, atEqualTime, type Equal } from "../src/lab/equal.ts";
import { equalFindings, equalHtml, equalLimits, equalLines } from "../src/lab/equality.ts";
import { report } from "../src/lab/report.ts";
import { type Comparison, parseComparison, type VariantResult } from "../src/lab/result.ts";
import { pairedDifference } from "../src/lab/statistics.ts";

const fixture = (): Comparison =>
  parseComparison(JSON.parse(readFileSync(new URL("fixture/comparison.json", import.meta.url), "utf8")));
const place = { engine: "biform", cpu: "Abacus <9>", device: "wasm", threads: 2 };

/** A variant of 100 steps of 10 tokens with these held-out losses after every quarter, for each seed. */
function variant(spec: string, tokensPerSecond: number, ...losses: (number | null)[][]): VariantResult {
  return {
    ...fixture().variants[0]!,
    spec,
    steps: 100,
    tokens: 1000,
    trainFlops: 1000,
    train: { tokensPerSecond },
    seeds: losses.map((curve, i) => ({
      seed: i + 1,
      loss: curve.at(-1)!,
      heldOut: { steps: [25, 50, 75, 100], losses: curve },
    })),
  };
}
const quick = variant("quick", 10, [4, 3, 2.5, 2.4], [4.2, 3.2, 2.7, 2.5]);
const slow = variant("slow", 5, [3.9, 2.9, 2.2, 2.0], [4.0, 3.1, 2.3, 2.1]);
const odd = variant("odd", 8, [4, 3, 2, 1], [4, 3, 2, 1]);

describe("losses at equal time", () => {
  test("are those at the step that each had come to when the quickest was done, paired by seed", () => {
    const found = atEqualTime([quick, slow, odd], 1, place)!;
    expect(found).toMatchObject({ unit: "seconds", amount: 100, place });
    expect(found.variants.map(({ steps, share }) => [steps, share])).toEqual([
      [100, 1],
      [50, 0.5],
      [80, 0.8],
    ]);
    const [first, second, third] = found.variants;
    expect(first!.loss.mean).toBeCloseTo(2.45, 12);
    expect(first!.versus).toBeUndefined();
    expect(second!.loss.mean).toBeCloseTo(3.0, 12);
    // On the line from 2 after 75 steps to 1 after 100.
    expect(third!.loss.mean).toBeCloseTo(1.8, 12);
    const ends = [2.9, 3.1].map((loss, i) => ({ seed: i + 1, loss }));
    expect(second!.versus).toEqual({ spec: "quick", ...pairedDifference(ends, quick.seeds) });
    expect(second!.versus!.mean).toBeCloseTo(0.55, 12);
  });

  test("follow from how speeds stand to each other, not from the machine's", () => {
    const faster = [quick, slow].map((one) => ({ ...one, train: { tokensPerSecond: 40 * one.train.tokensPerSecond } }));
    const [found, before] = [atEqualTime(faster, 1, place)!, atEqualTime([quick, slow], 1, place)!];
    expect(found.variants).toEqual(before.variants);
    expect(found.amount).toBe(before.amount / 40);
  });

  test("with more looks have wider intervals", () => {
    const width = (looks: number) => {
      const { low, high } = atEqualTime([quick, slow], looks, place)!.variants[1]!.versus!;
      return high! - low!;
    };
    expect(width(6)).toBeGreaterThan(2 * width(1));
  });

  test("are none before the first evaluation, where a run diverged, and of one variant alone", () => {
    const late = variant("late", 2, [4, 3, 2, 1], [4, 3, 2, 1]);
    const lost = variant("lost", 10, [4, 3, 2, null], [4, 3, 2, 1]);
    const found = atEqualTime([quick, late, lost], 1, place)!;
    expect(found.variants[1]).toMatchObject({ steps: 20, loss: { mean: null, low: null }, versus: { mean: null } });
    expect(found.variants[2]!.loss.mean).toBeNull();
    // The seed that did not diverge is still a pair.
    expect(found.variants[2]!.versus!.mean).toBeCloseTo(1 - 2.5, 12);
    expect(atEqualTime([quick], 1, place)).toBeUndefined();
  });
});

test("losses at equal FLOPs meet the one that takes more before its last step", () => {
  const found = atEqualFlops([{ ...quick, trainFlops: 2000 }, slow])!;
  expect(found).toMatchObject({ unit: "FLOPs", amount: 1000 });
  expect(found.variants.map(({ steps }) => steps)).toEqual([50, 100]);
  expect(found.variants[0]!.loss.mean).toBeCloseTo(3.1, 12);
  expect(found.variants[1]!.loss.mean).toBeCloseTo(2.05, 12);
});

describe("what is said of them", () => {
  const equal = [atEqualFlops([quick, slow])!, atEqualTime([quick, slow, odd], 1, place)!];
  const result: Comparison = { ...fixture(), variants: [quick, slow, odd], equal };

  test("stands in a result and comes back from one", () => {
    expect(parseComparison(JSON.parse(JSON.stringify(result))).equal).toEqual(equal);
    const shares = structuredClone(result);
    shares.equal![1]!.variants[1]!.share = 1.5;
    expect(() => parseComparison(shares)).toThrow(/equal\[1\]\.variants\[1\]\.share: got 1.5/);
  });

  test("fits a terminal, names the machine and how far each had come", () => {
    const lines = equalLines(equal[1]!);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(tableWidth);
    const text = lines.join("\n");
    expect(text).toMatch(/At equal time: 100 s of training steps, what a run of quick takes, on biform, Abacus <9>,/);
    expect(text).toMatch(/^slow +50.0 % +3.0000 ± \d+\.\d+ +~ \+0.55/m);
    expect(equalLines(equal[0]!)[0]).toMatch(/At equal FLOPs: 1.00k each/);
  });

  test("is in the report's words, its table and its limits, escaped", () => {
    const html = report(result);
    expect(html).toContain(
      "At equal time: 100 s of training steps, what a run of quick takes, on biform, Abacus &lt;9&gt;",
    );
    expect(equalFindings(result)).toEqual([
      expect.stringMatching(
        /^At equal time on biform, Abacus <9>.*: beside quick, slow cannot be told from it; odd is better by 0\./,
      ),
    ]);
    expect(equalLimits(result)[0]).toMatch(/its learning rate is still high, which is against it/);
    const even: Equal = atEqualTime([quick, { ...slow, train: quick.train }], 1, place)!;
    expect(equalLimits({ ...result, equal: [even] })).toEqual([]);
    expect(equalHtml({ ...result, equal: [] })).toBe("");
  });
});
