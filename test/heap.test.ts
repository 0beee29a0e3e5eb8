import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collect as collectRuns } from "../src/cluster/collect.ts";
import { describeExperiment, openExperiment, writeExperiment } from "../src/cluster/experiment.ts";
import { storySource } from "../src/data/story.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { generate } from "../src/generate/generate.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { parametersOf } from "../src/model/model.ts";
import { initialWeights } from "../src/train/initial.ts";
import { Optimiser, optimiserDefaults } from "../src/train/optimiser.ts";
import { trainStep } from "../src/train/step.ts";
import { long } from "./extent.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let device: WasmDevice;
beforeAll(async () => {
  device = await WasmDevice.open({ threads: 1, build: "simd" });
});
afterAll(() => device.close());

/** Where V8 keeps objects; what it compiles lies elsewhere, and comes and goes. */
const spaces = new Set(["new_space", "old_space", "large_object_space", "new_large_object_space"]);

/** Bytes of objects that something still holds. */
async function held(): Promise<number> {
  // What is finalised after one collection is free after the next.
  for (let i = 0; i < 2; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const own = getHeapSpaceStatistics().filter(({ space_name }) => spaces.has(space_name));
  return own.reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

/** Turns of a window, and those before the first, after which all tables are full. */
const [TURNS, WARM, WINDOWS] = long ? [400, 800, 5] : [250, 800, 4];

/**
 * Bytes that a turn leaves on the heap for good. Of several windows the second least: what V8 learns of code comes in bursts, and
 * what an earlier test held may go in one of them; what every turn leaves behind is in all.
 */
async function leftBy(turn: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < WARM; i++) await turn();
  const found: number[] = [];
  let before = await held();
  for (let window = 0; window < WINDOWS; window++) {
    for (let i = 0; i < TURNS; i++) await turn();
    const after = await held();
    found.push((after - before) / TURNS);
    before = after;
  }
  return found.sort((a, b) => a - b)[1]!;
}

/** The smallest object takes three pointers: to its map, its properties and its elements. */
const OBJECT = 24;

// One layer of a kind: what it leaves behind is an object at least, however many there are.
test.each([
  ["MLA", "absorbed", 1],
  ["MLA", "expanded", 1],
  ["[KDA,GQA2-128-W256]", undefined, 2],
  ["MLA-FoX", undefined, 1],
])("decoding over %s (%s) leaves less than an object per token on the heap", async (pattern, form, layers) => {
  const model = buildModel(pattern, { vocabulary: 40, width: 16, heads: 2, layers });
  const weights = initialWeights(model, device, 1);
  const session = new Session(model, weights, { context: WARM + WINDOWS * TURNS + 1 });
  const steps = generate(session, Int32Array.of(1), { temperature: 0, form });
  expect(await leftBy(() => steps.next())).toBeLessThan(OBJECT);
  expect(session.length).toBe(WARM + WINDOWS * TURNS);
  session.free();
});

test("training leaves less than an object per step on the heap", async () => {
  const source = storySource(1);
  const model = buildModel("[MLA,KDA]", { vocabulary: source.vocabulary, width: 16, heads: 2, layers: 2 });
  const weights = initialWeights(model, device, 1);
  const optimiser = new Optimiser(device, parametersOf(model), optimiserDefaults);
  const batch = source.batch(0, 2, 4);
  expect(await leftBy(() => trainStep(model, weights, optimiser, batch, 1e-3))).toBeLessThan(OBJECT);
});

test("what was collected holds a number of 8 bytes for each loss of its runs, and little else", async () => {
  const [SEEDS, LOSSES] = [300, 400];
  const file = join(await mkdtemp(join(tmpdir(), "biform-heap-")), "study.json");
  const settings = {
    variants: ["MHA", "MLA"],
    seeds: SEEDS,
    model: { width: 32, heads: 2, layers: 1 },
    goal: { match: new Set(["none"] as const), length: 16, batch: 2, budget: { steps: LOSSES } },
    optimiser: optimiserDefaults,
    rates: [0.02],
    ...{ warmup: 2, floor: 0.1, evaluations: 1, heldOutBatches: 1, contexts: [8] },
  };
  const about = { versions: {}, device: "wasm", data: { kind: "recall", seed: 3, pairs: 4 } } as const;
  await writeExperiment(file, describeExperiment(settings, 64, about));
  const opened = await openExperiment(file);
  await rm(join(file, ".."), { recursive: true });
  const curve = (k: number) => ({ steps: Array.from({ length: k }, (_, i) => i), losses: Array(k).fill(0.5) });
  const read = async (name: string) => {
    const [key] = name.split("/");
    const { seed } = opened.experiment.runs.find((run) => run.key === key)!;
    const about = { experiment: opened.id, key, engine: "biform", versions: {}, machine: {}, finished: "" };
    const curves = { training: curve(LOSSES), heldOut: curve(1) };
    const record = { seed, rate: 0.02, loss: 0.5, ...curves, tokensPerSecond: 1, sample: null, speeds: null };
    return new TextEncoder().encode(JSON.stringify({ ...about, record }));
  };
  const unused = () => {
    throw new Error("collecting only reads");
  };
  const others = { write: unused, create: unused, list: unused, openFolder: unused };
  const store = { where: "memory", read, ...others, keepFolder: unused, dropFolder: unused };
  await collectRuns(opened, store);
  const before = await held();
  const found = await collectRuns(opened, store);
  const runs = found.variants.flatMap(({ seeds }) => seeds);
  expect(runs).toHaveLength(2 * SEEDS);
  // Half as much again for a run's names and its other numbers: a box for each loss would be three times as much.
  expect((await held()) - before).toBeLessThan(1.5 * 8 * LOSSES * runs.length);
});

test("the measure finds one small object per turn", async () => {
  const kept: object[] = [];
  expect(await leftBy(async () => kept.push([]))).toBeGreaterThan(OBJECT);
});
