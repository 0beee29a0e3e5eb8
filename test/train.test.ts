import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { cacheValues } from "../src/attention/define.ts";
import { recallSource } from "../src/data/recall.ts";
import { storySource } from "../src/data/story.ts";
import { dataOf } from "../src/device/float.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { compare } from "../src/lab/compare.ts";
import { match } from "../src/lab/match.ts";
import type { RunRecord } from "../src/lab/run.ts";
import type { CompareSettings } from "../src/lab/schedule.ts";
import { Shelf } from "../src/lab/shelf.ts";
import { modelSize } from "../src/model/model.ts";
import { Random } from "../src/tensor/random.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { muon } from "../src/train/muon.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { rateAt } from "../src/train/schedule.ts";
import { type TrainSettings, train, trainFlopsPerToken } from "../src/train/train.ts";

const scratch = await mkdtemp(join(tmpdir(), "biform-train-"));
afterAll(() => rm(scratch, { recursive: true, force: true }));

const source = storySource(1);
const settings: TrainSettings = {
  pattern: "[MLA,GQA2-(192+64)-S2]",
  model: { vocabulary: 256, width: 32, heads: 4, layers: 2 },
  optimiser: optimiserDefaults,
  rate: 0.01,
  warmup: 2,
  floor: 0.1,
  steps: 12,
  batch: 4,
  length: 33,
  seed: 3,
  evaluateEvery: 4,
  heldOutBatches: 1,
  source: source.name,
};
const wasm = (threads: number) => WasmDevice.open({ threads });

test.each(["adamw", "muon"] as const)(
  "one seed gives one loss curve, bit for bit, on one thread and two (%s)",
  async (kind) => {
    const curves = [];
    for (const threads of [1, 2]) {
      const device = await wasm(threads);
      const result = await train({ ...settings, optimiser: { ...optimiserDefaults, kind } }, source, device);
      curves.push([result.training, result.heldOut]);
      device.close();
    }
    expect(curves[0]).toEqual(curves[1]);
    const losses = curves[0]![0]!.losses as number[];
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 1);
  },
);

test("the wasm device trains as the float64 reference does", async () => {
  const device = await wasm(2);
  const [fast, exact] = [await train(settings, source, device), await train(settings, source, new ReferenceDevice())];
  device.close();
  // Rounding errors of 1e-7 grow over twelve steps of Adam, whose first updates divide by tiny second moments.
  fast.training.losses.forEach((loss, i) => {
    expect(Math.abs(loss! - exact.training.losses[i]!)).toBeLessThan(2e-3);
  });
  expect(fast.training.losses[0]).toBeCloseTo(exact.training.losses[0]!, 5);
});

test("an interrupted run continues exactly", async () => {
  const device = await wasm(2);
  const whole = await train(settings, source, device);
  const dir = join(scratch, "run");
  const stop = new AbortController();
  const checkpoint = { dir, every: 5 };
  const part = await train(settings, source, device, {
    signal: stop.signal,
    checkpoint,
    onStep: ({ step }) => step === 7 && stop.abort(),
  });
  expect(part).toMatchObject({ step: 7, complete: false });
  const rest = await train(settings, source, device, { checkpoint });
  device.close();
  expect(rest.training).toEqual(whole.training);
  expect(rest.heldOut).toEqual(whole.heldOut);
  expect((await readdir(dir)).sort()).toEqual([
    "config.json",
    "model.safetensors",
    "optimiser.safetensors",
    "training.json",
  ]);
});

test("a checkpoint of another spec, or a damaged one, is refused and left as it was", async () => {
  const device = await wasm(1);
  const dir = join(scratch, "other");
  const checkpoint = { dir, every: 2 };
  await train({ ...settings, steps: 2 }, source, device, { checkpoint });
  const before = await readdir(dir);
  await expect(train({ ...settings, pattern: "MHA", steps: 2 }, source, device, { checkpoint })).rejects.toThrow(
    /got a checkpoint with pattern .*, expected MHA/,
  );
  await writeFile(join(dir, "model.safetensors"), "short");
  await expect(train({ ...settings, steps: 2 }, source, device, { checkpoint })).rejects.toThrow(/model\.safetensors/);
  device.close();
  expect(await readdir(dir)).toEqual(before);
});

test("a run that diverges stops and says so", async () => {
  const device = await wasm(1);
  const result = await train({ ...settings, rate: 1e30, warmup: 0, steps: 40 }, source, device);
  device.close();
  expect(result.loss).toBeNull();
  expect(result.step).toBeLessThan(40);
});

test("Muon moves each head by a matrix whose singular values are near one", async () => {
  const device = new ReferenceDevice();
  const random = new Random(5);
  for (const [axes, shape] of [
    ["d f", [6, 10]],
    ["f d", [10, 6]],
    ["d h e", [12, 3, 4]],
    ["h v d", [3, 4, 12]],
  ] as const) {
    const size = shape.reduce((a, b) => a * b, 1);
    const p = tensor(device, shape, new Float64Array(size));
    const m = tensor(device, shape, new Float64Array(size));
    muon(p, tensor(device, shape, random.normals(size)), m, axes, { rate: 1, beta: 0.9, decay: 0 });
    const letters = axes.split(" ");
    const head = letters.indexOf("h");
    const steps = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
    const [row, column] = [0, 1, 2].filter((i) => i < shape.length && i !== head) as [number, number];
    const scale = 0.2 * Math.sqrt(Math.max(shape[row]!, shape[column]!));
    for (let h = 0; h < (head < 0 ? 1 : shape[head]!); h++) {
      // The squared Frobenius norm is the sum of squared singular values: the quintic leaves each within 0.7 and 1.2.
      let squares = 0;
      for (let i = 0; i < shape[row]!; i++)
        for (let j = 0; j < shape[column]!; j++)
          squares +=
            (dataOf(p)[i * steps[row]! + j * steps[column]! + (head < 0 ? 0 : h * steps[head]!)]! / scale) ** 2;
      const rank = Math.min(shape[row]!, shape[column]!);
      expect(Math.sqrt(squares / rank), axes).toBeGreaterThan(0.6);
      expect(Math.sqrt(squares / rank), axes).toBeLessThan(1.25);
    }
  }
});

test("the rate warms up to its peak and falls to its floor", () => {
  const schedule = { rate: 2, warmup: 4, steps: 20, floor: 0.1 };
  expect(rateAt(schedule, 0)).toBe(0.5);
  expect(rateAt(schedule, 3)).toBe(2);
  expect(rateAt(schedule, 4)).toBe(2);
  expect(rateAt(schedule, 19)).toBeCloseTo(0.2, 12);
});

const base = { vocabulary: 256, width: 64, heads: 4, layers: 2 };
const patterns = ["MHA", "GQA2-128", "MLA-256", "GQA1-(512+64)-S3", "[GQA2-128,MLA]"];

test("the solver matches parameters and training FLOPs, and says what it could not", () => {
  const goal = { match: new Set(["parameters", "flops"] as const), length: 64, batch: 4, budget: { steps: 400 } };
  const [first, ...rest] = match(patterns, base, goal);
  const flops = (m: typeof first) => m!.steps * trainFlopsPerToken(m!.model, 64);
  for (const m of rest) {
    const off = Math.abs(modelSize(m.model) / modelSize(first!.model) - 1);
    expect(off > 0.005, m.pattern).toBe(m.unmatched.some((u) => u.includes("parameters")));
    expect(Math.abs(flops(m) / flops(first) - 1), m.pattern).toBeLessThan(0.005);
  }
  // S3's attention alone is larger than the whole first model, whatever its MLP.
  const tiny = match(["GQA1-128", "GQA1-(512+64)-S3"], { ...base, intermediate: 8 }, goal);
  expect(tiny[1]!.unmatched.join()).toMatch(/parameters are .* above/);
});

test("with time matched each variant has the steps that the first one's time holds", () => {
  const speeds = { MHA: 10, "GQA2-128": 12.5, "MLA-256": 5, "GQA1-(512+64)-S3": 0.001, "[GQA2-128,MLA]": 10 };
  const goal = { match: new Set(["time"] as const), length: 64, batch: 4, budget: { steps: 400 }, speeds };
  expect(match(patterns, base, goal).map(({ steps }) => steps)).toEqual([400, 500, 200, 1, 400]);
  // By FLOPs, those are the first one's.
  const flops = 400 * 64 * 4 * trainFlopsPerToken(match(["MHA"], base, goal)[0]!.model, 64);
  expect(match(patterns, base, { ...goal, budget: { flops } })[2]!.steps).toBe(200);
  expect(() => match(["MHA", "MLA"], base, goal)).toThrow(/MLA: got no measured speed, expected one to match time by/);
});

test("a limit on the cache shrinks the variants above it", () => {
  const goal = { match: new Set(["none"] as const), length: 64, batch: 4, budget: { steps: 10 }, maxCache: 40 };
  for (const m of match(["MHA", "GQA2-128", "MLA"], base, goal)) {
    const { variant, sizes } = m.model.layers[0]!.attention;
    expect(cacheValues(variant, sizes)).toBeLessThanOrEqual(40);
  }
});

const small: CompareSettings = {
  variants: ["MHA", "MLA"],
  seeds: 2,
  model: { width: 16, heads: 2, layers: 1 },
  goal: { match: new Set(["parameters"]), length: 32, batch: 2, budget: { steps: 6 } },
  optimiser: optimiserDefaults,
  rates: [0.01],
  warmup: 2,
  floor: 0.1,
  evaluations: 2,
  heldOutBatches: 1,
  contexts: [8],
};

test("an interrupted comparison goes on and ends with the same losses", async () => {
  const device = await wasm(1);
  const recall = (seed: number) => recallSource(seed, { pairs: 4 });
  const losses = async (root: string, stopAt: number) => {
    const shelf = new Shelf<RunRecord>(join(scratch, root), small);
    for (let tries = 0; ; tries++) {
      const stop = new AbortController();
      let steps = 0;
      const result = await compare(small, recall, device, {
        signal: stop.signal,
        shelf,
        watch: () => ++steps === stopAt && stop.abort(),
      });
      if (result) return { losses: result.map((v) => v.seeds.map((s) => [s.seed, s.loss])), tries };
      expect(tries).toBeLessThan(8);
    }
  };
  const whole = await losses("whole", -1);
  const pieces = await losses("pieces", 5);
  device.close();
  expect(whole.tries).toBe(0);
  expect(pieces.tries).toBeGreaterThan(2);
  expect(pieces.losses).toEqual(whole.losses);
});

test("a sweep keeps each variant's best rate", async () => {
  const device = await wasm(1);
  const sweep = { ...small, rates: [1e-9, 0.02], seeds: 1 };
  const result = await compare(sweep, (seed) => recallSource(seed, { pairs: 4 }), device, {
    signal: new AbortController().signal,
    shelf: new Shelf<RunRecord>(join(scratch, "sweep"), sweep),
    watch: () => {},
  });
  device.close();
  expect(result!.map((v) => v.dims!.rate)).toEqual([0.02, 0.02]);
});
