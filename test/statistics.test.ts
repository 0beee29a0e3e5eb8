import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exceeds, halfWidth, meanInterval, pairedDifference, studentQuantile } from "../src/lab/statistics.ts";

describe("Student's quantile", () => {
  // Abramowitz and Stegun, table 26.10, to its three decimals.
  const known: [degrees: number, level: number, t: number][] = [
    [1, 0.95, 12.706],
    [2, 0.95, 4.303],
    [3, 0.95, 3.182],
    [4, 0.95, 2.776],
    [5, 0.95, 2.571],
    [9, 0.95, 2.262],
    [30, 0.95, 2.042],
    [120, 0.95, 1.98],
    [1, 0.99, 63.657],
    [2, 0.99, 9.925],
    [10, 0.9, 1.812],
  ];
  test.each(known)("at %d degrees of freedom and level %d is %d", (degrees, level, t) => {
    expect(studentQuantile(degrees, level)).toBeCloseTo(t, 3);
  });

  test("equals its closed forms at one and two degrees of freedom", () => {
    for (const level of [0.5, 0.8, 0.95, 0.999]) {
      expect(studentQuantile(1, level)).toBeCloseTo(Math.tan((Math.PI * level) / 2), 8);
      expect(studentQuantile(2, level)).toBeCloseTo(level * Math.sqrt(2 / (1 - level ** 2)), 8);
    }
  });

  test("falls towards the normal quantile as degrees of freedom grow", () => {
    const quantiles = Array.from({ length: 40 }, (_, index) => studentQuantile(index + 1));
    for (let index = 1; index < quantiles.length; index++) expect(quantiles[index]).toBeLessThan(quantiles[index - 1]!);
    expect(studentQuantile(100_000)).toBeCloseTo(1.95996, 4);
  });

  test("is infinite without a degree of freedom", () => {
    expect(studentQuantile(0)).toBe(Number.POSITIVE_INFINITY);
    expect(studentQuantile(Number.NaN)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the interval of a mean", () => {
  test("of 1, 2, 3 is 2 plus or minus 4.303 / sqrt(3)", () => {
    const { mean, low, high } = meanInterval([1, 2, 3]);
    expect(mean).toBe(2);
    expect(high! - mean).toBeCloseTo(4.302653 / Math.sqrt(3), 5);
    expect(mean - low!).toBeCloseTo(4.302653 / Math.sqrt(3), 5);
  });

  test("is undefined for one value, and says so instead of pretending to be narrow", () => {
    expect(meanInterval([1.5])).toEqual({ mean: 1.5, low: null, high: null });
    expect(halfWidth(meanInterval([1.5]))).toBeNull();
  });

  test("is undefined for no value and for a value that is not finite", () => {
    expect(meanInterval([])).toEqual({ mean: Number.NaN, low: null, high: null });
    expect(meanInterval([1, Number.NaN]).low).toBeNull();
  });

  test("holds the true mean in about 95 of 100 experiments of three normal values", () => {
    let state = 12345;
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state + 0.5) / 2 ** 32;
    };
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const trials = 4000;
    let held = 0;
    for (let trial = 0; trial < trials; trial++) {
      const { low, high } = meanInterval([normal(), normal(), normal()]);
      if (low! <= 0 && high! >= 0) held++;
    }
    // Four standard errors of a share of 0.95 over 4000 trials are 0.014.
    expect(Math.abs(held / trials - 0.95)).toBeLessThan(0.014);
  });

  test("moves and stretches with its values", () => {
    const few = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(
        few,
        fc.double({ min: -5, max: 5, noNaN: true }),
        fc.double({ min: 0.1, max: 4, noNaN: true }),
        (values, shift, stretch) => {
          const before = meanInterval(values);
          const after = meanInterval(values.map((value) => stretch * value + shift));
          expect(after.mean).toBeCloseTo(stretch * before.mean + shift, 8);
          expect(after.high! - after.mean).toBeCloseTo(stretch * (before.high! - before.mean), 8);
        },
      ),
    );
  });
});

describe("a paired difference", () => {
  const seeds = (losses: (number | null)[], first = 0) => losses.map((loss, index) => ({ seed: first + index, loss }));

  test("sees what separate intervals hide: a small constant gain under large differences between seeds", () => {
    const [a, b] = [seeds([1, 2, 3]), seeds([1.1, 2.11, 3.09])];
    const difference = pairedDifference(a, b);
    expect(difference.mean).toBeCloseTo(-0.1, 10);
    expect(exceeds(difference)).toBe(true);
    expect(meanInterval([1, 2, 3]).high).toBeGreaterThan(meanInterval([1.1, 2.11, 3.09]).low!);
  });

  test("pairs by seed and not by place", () => {
    const shuffled = [
      { seed: 2, loss: 3 },
      { seed: 0, loss: 1 },
      { seed: 1, loss: 2 },
    ];
    expect(pairedDifference(seeds([1, 2, 3]), shuffled)).toEqual({ mean: 0, low: 0, high: 0 });
  });

  test("leaves out seeds that only one side has, and those that diverged", () => {
    const difference = pairedDifference(seeds([1, 2, null, 4]), seeds([2.5, 3, 4.5, 9], 1));
    expect(difference.mean).toBeCloseTo(-0.5, 12);
    expect(pairedDifference(seeds([1]), seeds([1], 5)).mean).toBeNaN();
  });

  test("of one seed never counts as larger than its interval", () => {
    expect(exceeds(pairedDifference(seeds([1]), seeds([100])))).toBe(false);
  });

  test("counts only where its interval leaves zero out", () => {
    expect(exceeds({ low: 0.1, high: 0.2 })).toBe(true);
    expect(exceeds({ low: -0.2, high: -0.1 })).toBe(true);
    expect(exceeds({ low: -0.1, high: 0.2 })).toBe(false);
    expect(exceeds({ low: 0, high: 0 })).toBe(false);
  });
});
