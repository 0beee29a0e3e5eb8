import { describe, expect, test } from "vitest";
import { parseSpec } from "../src/attention/spec.ts";
import { Estimate } from "../src/cli/estimate.ts";
import { commonMachine } from "../src/cost/crossover.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { Matched } from "../src/lab/match.ts";
import { match } from "../src/lab/match.ts";
import type { Pace } from "../src/lab/pace.ts";
import { type CompareSettings, forecast, runsOf, totalForecast } from "../src/lab/schedule.ts";
import { crossoverGrid, gridSeconds } from "../src/measure/grid.ts";
import { buildModel } from "../src/model/build.ts";
import { forwardFlops } from "../src/model/model.ts";
import { Random } from "../src/tensor/random.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { trainWork } from "../src/train/train.ts";

/** One piece of work: how much it counts, and how long it takes. */
type Piece = readonly [units: number, seconds: number];

/**
 * The worst that an estimate said after a tenth of the time: how many times too much or too little, and how often it spoke. What is
 * off by a fiftieth of the whole is not counted: nobody foresees that the very last step takes twice as long.
 */
function worst(pieces: readonly Piece[], begun = 0, before = 0): { factor: number; said: number } {
  const total = pieces.reduce((sum, [units]) => sum + units, begun);
  const end = pieces.reduce((sum, [, seconds]) => sum + seconds, before);
  const estimate = new Estimate();
  let [done, time, factor, said] = [begun, before, 1, 0];
  estimate.take(done, 0);
  estimate.take(done, time);
  for (const [units, seconds] of pieces.slice(0, -1)) {
    done += units;
    time += seconds;
    estimate.take(done, time);
    const left = estimate.left(total);
    if (left === undefined || time - before < (end - before) / 10) continue;
    said++;
    if (Math.abs(left - (end - time)) < (end - before) / 50) continue;
    factor = Math.max(factor, left / (end - time), (end - time) / left);
  }
  return { factor, said };
}

/** Milliseconds of the first steps of five variants, one after the other, recorded beside ten other processes on two cores. */
const recorded = [
  211, 92, 83, 34, 50, 82, 112, 57, 37, 36, 36, 37, 43, 41, 38, 38, 44, 46, 93, 58, 91, 77, 92, 55, 61, 62, 49, 40, 43,
  37, 49, 50, 44, 39, 38, 49, 61, 73, 84, 117, 52, 37, 74, 83, 37, 55, 50, 39, 61, 37, 42, 94, 80, 52, 48, 49, 39, 42,
  35, 52, 139, 88, 69, 85, 53, 57, 92, 91, 71, 111, 83, 74, 50, 52, 51, 87, 82, 160, 140, 131, 111, 75, 66, 73, 79, 79,
  85, 92, 79, 64, 55, 77, 59, 61, 42, 108, 107, 90, 86, 49,
];

/** Seconds of steps on such a machine, drawn from those recorded. */
function stepsOf(n: number, seconds: number, seed = 1): number[] {
  const random = new Random(seed);
  const mean = recorded.reduce((sum, time) => sum + time, 0) / recorded.length;
  return Array.from({ length: n }, () => (seconds * random.pick(recorded)) / mean);
}

describe("the time left is right within a factor of two after a tenth of the work", () => {
  test("for steps as they were recorded", () => {
    const { factor, said } = worst(recorded.map((ms): Piece => [1, ms / 1000]));
    expect(factor).toBeLessThan(2);
    expect(said).toBeGreaterThan(80);
  });

  test.each([50, 250, 5000])("for %i steps, the first of which takes as long as twenty", (n) => {
    const steps = stepsOf(n, 0.04).map((seconds, i): Piece => [1, i === 0 ? 0.8 : seconds]);
    const { factor, said } = worst(steps);
    expect(factor).toBeLessThan(2);
    expect(said).toBeGreaterThan(n / 3);
  });

  test("for a run that goes on at four fifths, after loading took longer than all that is left", () => {
    const { factor, said } = worst(
      stepsOf(50, 0.04).map((seconds): Piece => [1, seconds]),
      200,
      60,
    );
    expect(factor).toBeLessThan(2);
    expect(said).toBeGreaterThan(30);
  });

  test.each([
    [20, 8],
    [2, 64],
  ])("for training with evaluations every %i steps, of %i batches", (evaluateEvery, heldOutBatches) => {
    const run = { steps: 200, evaluateEvery, heldOutBatches };
    const pieces = stepsOf(200, 0.04).map((seconds, i): Piece => {
      const units = trainWork(run, i + 1) - trainWork(run, i);
      // A forward pass takes somewhat more or less than a third of a step.
      return [units, seconds + (units - 1) * 0.04 * 1.3];
    });
    expect(worst(pieces).factor).toBeLessThan(2);
  });

  test("steps counted alone, without evaluations, would not do", () => {
    const run = { steps: 200, evaluateEvery: 80, heldOutBatches: 3000 };
    const pieces = stepsOf(200, 0.04).map((seconds, i): Piece => {
      const units = trainWork(run, i + 1) - trainWork(run, i);
      return [1, seconds + (units - 1) * 0.04];
    });
    expect(worst(pieces).factor).toBeGreaterThan(2);
  });

  test("for a prompt whose later tokens have a hundred thousand before them", () => {
    const model = buildModel("MHA", { vocabulary: 64, width: 64, heads: 4, layers: 2 });
    const noise = stepsOf(200, 1);
    const pieces = noise.map((seconds, i): Piece => {
      const flops = forwardFlops(model, 512, 512 * i);
      return [forwardFlops(model, 512 * (i + 1)) - forwardFlops(model, 512 * i), flops * seconds];
    });
    expect(worst(pieces).factor).toBeLessThan(2);
    expect(worst(pieces.map(([, seconds]) => [512, seconds])).factor).toBeGreaterThan(2);
  });

  test("for a grid of steps over caches, on a machine of other rates", async () => {
    const device = new ReferenceDevice();
    const attention = parseSpec("MLA:n4:r2:v4:c8", { width: 16, heads: 2 });
    const options = { contexts: [8, 300], steps: [1, 16, 128], seconds: 1e-6 };
    const said: number[] = [];
    let time = 0;
    await crossoverGrid(device, attention, commonMachine, {
      ...options,
      clock: () => ++time,
      watch: (done) => said.push(done),
    });
    expect(said[0]).toBe(0);
    expect(said.at(-1)).toBe(gridSeconds(attention, commonMachine, options));
    const points = said.slice(1).map((done, i) => done - said[i]!);
    expect(Math.max(...points) / Math.min(...points)).toBeGreaterThan(1.5);
    const noise = stepsOf(points.length, 1.5);
    expect(worst(points.map((seconds, i) => [seconds, seconds * noise[i]!])).factor).toBeLessThan(2);
  });

  const model = { vocabulary: 256, width: 64, heads: 8, layers: 2 };
  const variants = ["MHA", "GQA2-128", "MLA", "GQA2-(192+64)-S2", "KDA"];
  const settings: CompareSettings = {
    variants,
    seeds: 2,
    model,
    goal: { match: new Set(["parameters", "flops"]), length: 128, batch: 8, budget: { steps: 60 } },
    optimiser: optimiserDefaults,
    rates: [0.003],
    warmup: 20,
    floor: 0.1,
    evaluations: 10,
    heldOutBatches: 8,
    contexts: [128, 512],
  };
  const matched = match(variants, model, settings.goal);
  /** Variants differ in what a FLOP takes: the last is a recurrence. */
  const real = new Map(variants.map((name, i): [string, Pace] => [name, { step: 0.03 * (1 + i * i), token: 0.002 }]));

  /** The pieces of a comparison that was forecast with some paces and takes as long as the real ones say. */
  function comparison(paces: ReadonlyMap<string, Pace>, slower: (m: Matched) => number = () => 1): Piece[] {
    const pieces: Piece[] = [];
    for (const run of runsOf(settings, matched)) {
      const { pattern, steps } = run.matched;
      const [said, is] = [paces, real].map((by) => forecast(settings, run, by.get(pattern)!, { text: true }));
      const noise = stepsOf(steps, 1, run.seed);
      for (let step = 1; step <= steps; step++) {
        const taken = (is!.training(step) - is!.training(step - 1)) * noise[step - 1]! * slower(run.matched);
        pieces.push([said!.training(step) - said!.training(step - 1), taken]);
      }
      pieces.push([said!.after, is!.after * slower(run.matched)]);
    }
    return pieces.filter(([units]) => units > 0);
  }

  test("for a comparison of variants whose FLOPs take unequal times, whose paces were measured badly", () => {
    const random = new Random(4);
    const measured = new Map(
      [...real].map(([name, { step, token }]): [string, Pace] => [
        name,
        { step: step * (1 + 0.4 * random.uniform()), token: token * (1 + 0.4 * random.uniform()) },
      ]),
    );
    const pieces = comparison(measured);
    expect(worst(pieces).factor).toBeLessThan(2);
    const units = pieces.reduce((sum, [unit]) => sum + unit, 0);
    expect(units).toBeCloseTo(totalForecast(settings, matched, measured, { text: true }), 6);
  });

  test("where all takes thrice as long as it was forecast", () => {
    expect(worst(comparison(real, () => 3)).factor).toBeLessThan(2);
  });

  test("FLOPs alone would not do for them", () => {
    const flops = new Map(variants.map((name): [string, Pace] => [name, { step: 0.03, token: 0.002 }]));
    expect(worst(comparison(flops)).factor).toBeGreaterThan(2);
  });
});

test("nothing is said before two pieces are done, nor of work that is over", () => {
  const estimate = new Estimate();
  expect(estimate.left(10)).toBeUndefined();
  estimate.take(0, 0);
  estimate.take(1, 5);
  expect(estimate.left(10)).toBeUndefined();
  estimate.take(2, 6);
  expect(estimate.left(10)).toBe(8);
  estimate.take(10, 14);
  expect(estimate.left(10)).toBe(0);
});
