import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { fitTask } from "../src/cli/budget.ts";
import { type CompareOptions, demo, readTask } from "../src/cli/comparison.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { fitSteps } from "../src/lab/fit.ts";
import { match } from "../src/lab/match.ts";
import { totalForecast } from "../src/lab/schedule.ts";

const scratch = await mkdtemp(join(tmpdir(), "biform-fit-"));
const device = await WasmDevice.open({ threads: 1 });
afterAll(async () => {
  device.close();
  await rm(scratch, { recursive: true });
});

const given: CompareOptions = {
  ...demo,
  contexts: [...demo.contexts],
  // Small enough for a test: what time passes is the simulated machine's.
  width: 16,
  heads: 2,
  layers: 1,
  demo: true,
  match: "parameters,flops",
  heldOut: 8,
  state: scratch,
  data: "story",
  device: "wasm",
  dataSeed: 1,
  pairs: 8,
  items: 16,
  vocabulary: 64,
  dims: "scaled",
  ropeBase: 10000,
  optimiser: "adamw",
  rate: [0.003],
  warmup: 20,
  decay: 0.1,
  clip: 1,
};

/** A machine where a training step takes so many seconds, a token a twentieth of that, and getting here took forty steps' time. */
async function machine(seconds: number, options: CompareOptions) {
  const task = await readTask(options);
  let now = 40 * seconds;
  const source: typeof task.source = (seed) => {
    const real = task.source(seed);
    const batch: typeof real.batch = (...asked) => {
      now += seconds;
      return real.batch(...asked);
    };
    return { ...real, batch };
  };
  const clock = () => {
    now += seconds / 20;
    return now;
  };
  return { task: { ...task, source }, clock };
}

/** What a demo does on a machine that takes so many seconds for a step. */
async function demoOn(seconds: number, options: Partial<CompareOptions> = {}, signal = new AbortController().signal) {
  const { task, clock } = await machine(seconds, { ...given, ...options });
  const around = { state: join(scratch, String(seconds)), later: 30 * seconds, signal, clock };
  const { settings, paces } = await fitTask(task, device, around);
  const spent = clock() + around.later;
  const total = (budget: typeof settings.goal.budget) =>
    spent +
    totalForecast(settings, match(settings.variants, task.model, { ...settings.goal, budget }), paces, { text: true });
  return { settings, paces, around, total };
}

describe("a demo ends in time", () => {
  // A quick machine of 2 cores takes about 0.03 s for a step.
  test.each([0.01, 0.03, 0.1, 0.3])("where a step takes %d s", async (seconds) => {
    const { settings, paces, total } = await demoOn(seconds);
    expect(settings.variants).toHaveLength(5);
    expect(settings.seeds).toBe(2);
    expect([...paces.values()].every(({ step }) => Math.abs(step / seconds - 1.05) < 1e-6)).toBe(true);
    const { steps } = settings.goal.budget as { steps: number };
    expect(total({ steps })).toBeLessThan(75);
    // As many steps as fit, with a twentieth kept for what nobody foresees.
    expect(total({ steps: Math.ceil(1.15 * steps) + 1 })).toBeGreaterThan(70);
  });

  test("with steps in proportion to the machine's speed, and less beside them where it is slow", async () => {
    const [quick, slow] = [(await demoOn(0.02)).settings, (await demoOn(0.2)).settings];
    const steps = ({ goal: { budget } }: typeof quick) => (budget as { steps: number }).steps;
    expect(steps(quick)).toBeGreaterThan(100);
    expect(steps(slow)).toBeGreaterThan(4);
    expect(steps(slow)).toBeLessThan(steps(quick) / 8);
    expect([quick.evaluations, quick.heldOutBatches, quick.rounds, quick.contexts]).toEqual([10, 8, 7, [128, 512]]);
    expect([slow.evaluations, slow.heldOutBatches, slow.rounds, slow.contexts]).toEqual([1, 2, 1, [128]]);
  });

  test("with one step at least, where nothing fits", async () => {
    expect((await demoOn(10)).settings.goal.budget).toEqual({ steps: 1 });
  });

  test("goes on with what it chose at first, however quick the machine is then", async () => {
    const first = await demoOn(0.11);
    const { task, clock } = await machine(0.001, given);
    const again = await fitTask(task, device, { ...first.around, clock });
    expect(again.settings).toEqual(first.settings);
    expect(again.paces).toEqual(first.paces);
  });

  test("keeps nothing of a look that was interrupted", async () => {
    const stop = new AbortController();
    stop.abort();
    await demoOn(0.07, {}, stop.signal);
    const { settings } = await demoOn(0.07);
    expect(settings.goal.budget).not.toEqual({ steps: 1 });
  });

  test("takes the steps that are given", async () => {
    const { settings } = await demoOn(0.05, { steps: 33 });
    expect(settings.goal.budget).toEqual({ steps: 33 });
    expect([settings.evaluations, settings.rounds]).toEqual([10, 7]);
  });

  test("gives every variant the same FLOPs, where minutes are asked for", async () => {
    const { settings, total } = await demoOn(0.08, { minutes: 2, match: "none" });
    const { flops } = settings.goal.budget as { flops: number };
    expect(total({ flops })).toBeLessThan(120);
    expect(total({ flops: 1.2 * flops })).toBeGreaterThan(115);
  });
});

test("the first effort that leaves room for sixty steps is taken, else the last", () => {
  const efforts = [10, 5, 1].map((evaluations) => ({ evaluations, heldOutBatches: 1, contexts: [8] }));
  const chosen = (seconds: number) => fitSteps(seconds, efforts, (steps, { evaluations }) => steps + 20 * evaluations);
  expect(chosen(1000)).toMatchObject({ steps: 800, effort: { evaluations: 10 } });
  expect(chosen(260)).toMatchObject({ steps: 60, effort: { evaluations: 10 } });
  expect(chosen(259)).toMatchObject({ steps: 159, effort: { evaluations: 5 } });
  expect(chosen(50)).toMatchObject({ steps: 30, effort: { evaluations: 1 } });
  expect(chosen(-5)).toMatchObject({ steps: 1, effort: { evaluations: 1 } });
});
