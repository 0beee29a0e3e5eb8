import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  describeExperiment,
  extendExperiment,
  openExperiment,
  seedsOf,
  writeExperiment,
} from "../src/cluster/experiment.ts";
import { recallSource } from "../src/data/recall.ts";
import { seeded } from "../src/data/source.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { compare } from "../src/lab/compare.ts";
import { levelOf, looksOf, seedsFor, undecidedNotes, unresolved } from "../src/lab/resolve.ts";
import type { VariantResult } from "../src/lab/result.ts";
import type { RunRecord } from "../src/lab/run.ts";
import type { CompareSettings } from "../src/lab/schedule.ts";
import { Shelf } from "../src/lab/shelf.ts";
import { exceeds, meanInterval } from "../src/lab/statistics.ts";
import { Random } from "../src/tensor/random.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "biform-resolve-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

test("looks are planned from the first number of seeds to the last", () => {
  expect(looksOf(3, { most: 16 })).toEqual([3, 5, 8, 12, 16]);
  expect(looksOf(4, { most: 4 })).toEqual([4]);
  expect(looksOf(3, undefined)).toEqual([3]);
});

test("where nothing differs a difference is found at some look in at most 5 of 100 experiments, without the correction in more", () => {
  const random = new Random(7);
  const looks = looksOf(3, { most: 16 });
  const found = { corrected: 0, plain: 0 };
  const experiments = 2000;
  for (let i = 0; i < experiments; i++) {
    const differences = Array.from({ length: 16 }, () => random.normal());
    const at = (level: number) => looks.some((n) => exceeds(meanInterval(differences.slice(0, n), level)));
    if (at(levelOf(looks.length))) found.corrected++;
    if (at(0.95)) found.plain++;
  }
  expect(found.corrected / experiments).toBeLessThanOrEqual(0.05);
  expect(found.plain / experiments).toBeGreaterThan(0.09);
});

test("a pair is resolved where its interval leaves zero out, or holds no difference of interest", () => {
  const against = (low: number | null, high: number | null) =>
    ({ spec: "B", versus: { spec: "A", mean: 0, low, high } }) as unknown as VariantResult;
  const first = { spec: "A" } as VariantResult;
  expect(unresolved([first, against(0.1, 0.2)], { most: 9 })).toEqual([]);
  expect(unresolved([first, against(-0.1, 0.2)], { most: 9 })).toEqual(["B"]);
  expect(unresolved([first, against(-0.1, 0.2)], { most: 9, difference: 0.3 })).toEqual([]);
  expect(unresolved([first, against(-0.1, 0.2)], { most: 9, difference: 0.15 })).toEqual(["B"]);
  // Of one common seed, or of none that did not diverge, nothing is known.
  expect(unresolved([first, against(null, null)], { most: 9, difference: 0.3 })).toEqual(["B"]);
});

test("the seeds that a difference needs give an interval of that width, and a few less do not", () => {
  const random = new Random(3);
  const seen = Array.from({ length: 400 }, () => random.normal());
  const needed = seedsFor(0.25, seen, 2)!;
  const half = (n: number) => {
    const { low, high } = meanInterval(seen.slice(0, n), levelOf(2));
    return (high! - low!) / 2;
  };
  expect(half(needed)).toBeLessThan(0.3);
  expect(half(Math.floor(needed / 2))).toBeGreaterThan(0.25);
  expect(seedsFor(0.1, [1])).toBeUndefined();
});

const settings: CompareSettings = {
  variants: ["MHA", "MLA", "GQA2-128"],
  seeds: 2,
  model: { width: 32, heads: 2, layers: 1 },
  goal: { match: new Set(["none"]), length: 12, batch: 1, budget: { steps: 2 } },
  optimiser: optimiserDefaults,
  rates: [0.02],
  warmup: 1,
  floor: 0.1,
  evaluations: 1,
  heldOutBatches: 1,
  contexts: [4],
};

test("a comparison adds seeds up to the most where pairs stay undecided, and none where differences are of no interest", async () => {
  const device = await WasmDevice.open({ threads: 1 });
  const run = (name: string, until: CompareSettings["until"]) =>
    compare({ ...settings, until }, seeded(recallSource(3, { pairs: 4 })), device, {
      signal: new AbortController().signal,
      shelf: new Shelf<RunRecord>(join(scratch, name), until),
      watch: () => {},
    });
  const few = await run("few", { most: 4, difference: 100 });
  const many = await run("many", { most: 4, difference: 1e-9 });
  device.close();
  expect(few!.map(({ seeds }) => seeds.length)).toEqual([2, 2, 2]);
  expect(undecidedNotes(few!, 2, { most: 4, difference: 100 })).toEqual([]);
  for (const note of undecidedNotes(many!, 2, { most: 4, difference: 1e-9 }))
    expect(note).toMatch(
      /^(MLA|GQA2-128): not told from MHA with 4 seeds; to tell a difference of 1e-9 takes about \d+$/,
    );
  // Told apart early, or not at all: with the first variant the others' seeds go up to the most while one is undecided.
  expect(many![0]!.seeds.length).toBe(Math.max(...many!.map(({ seeds }) => seeds.length)));
  expect(many![0]!.seeds.length).toBeGreaterThan(2);
  expect(many![0]!.seeds.map(({ seed }) => seed)).toEqual(many![0]!.seeds.map((_, i) => i + 1));
});

test("an experiment is extended by runs of the undecided and the first, and stays the same experiment", async () => {
  const file = join(scratch, "study.json");
  const data = { kind: "recall", seed: 3, pairs: 4 } as const;
  const until = { most: 6, difference: 0.1 };
  await writeExperiment(file, describeExperiment({ ...settings, until }, 64, { versions: {}, device: "wasm", data }));
  const opened = await openExperiment(file);
  await writeExperiment(file, extendExperiment(opened, ["GQA2-128"], 3));
  const extended = await openExperiment(file);
  expect(extended.id).toBe(opened.id);
  expect(seedsOf(extended.experiment)).toBe(3);
  expect(extended.experiment.runs.slice(6).map(({ key }) => key)).toEqual(["v0-MHA-s3", "v2-GQA2-128-s3"]);
});
