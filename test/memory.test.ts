import { spawnSync } from "node:child_process";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { storySource } from "../src/data/story.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { Session } from "../src/generate/session.ts";
import { gradients } from "../src/grad/tape.ts";
import { buildModel, type ModelSettings } from "../src/model/build.ts";
import { parametersOf } from "../src/model/model.ts";
import { initialWeights } from "../src/train/initial.ts";
import { Optimiser, optimiserDefaults } from "../src/train/optimiser.ts";
import { lossOf, trainStep } from "../src/train/step.ts";

const sizes: ModelSettings = { vocabulary: 40, width: 64, heads: 4, layers: 2 };
let device: WasmDevice;
beforeAll(async () => {
  device = await WasmDevice.open({ threads: 1 });
});
afterAll(() => device.close());

/** Bytes that running `tokens` tokens takes at most, beside weights and cache. */
function activations(pattern: string, settings: ModelSettings, tokens: number): number {
  const model = buildModel(pattern, settings);
  const weights = initialWeights(model, device, 1);
  const before = device.liveBytes;
  const session = new Session(model, weights);
  device.resetPeak();
  session.append(new Int32Array(tokens), { logits: "last" }).free();
  const bytes = device.peakBytes - before - session.bytes;
  session.free();
  for (const t of weights.values()) t.free();
  return bytes;
}

test.each(["MLA", "GQA2-128", "MLA-FoX", "MLA-SBA", "MLA-DSA16", "TPA", "KDA", "GQA2-128-W256"])(
  "a long input over %s holds the activations of one layer, however many there are",
  (pattern) => {
    const [few, many] = [2, 7].map((layers) => activations(pattern, { ...sizes, layers }, 800));
    expect(few).toBeGreaterThan(0);
    expect(many).toBe(few);
  },
);

test("a wide feed-forward half takes a long input a few rows at a time", () => {
  const [narrow, wide] = [1024, 2048].map((intermediate) => activations("MLA", { ...sizes, intermediate }, 1000));
  // Gate, up-projection and their product, of at most a quarter of the rows.
  expect(wide! - narrow!).toBe(3 * 250 * 1024 * 4);
});

test("attention that unfolds a long input holds keys, values and hidden states of all rows, and all else of a few", () => {
  const { heads, width } = { heads: 16, width: 256 };
  const long = activations("MLA", { ...sizes, heads, width }, 1024);
  const { h, n, v, r, c } = buildModel("MLA", { ...sizes, heads, width }).layers[0]!.attention.sizes;
  // Of each token: its hidden state, what it unfolds to, and the cosines and sines of its position.
  const each = 4 * (width + h * (n + v) + r + r);
  // Of the 256 at work their entries, queries and outputs; no more is unfolded on the way to where it is kept.
  expect(long).toBe(1024 * each + 256 * 4 * (c + r + h * (n + r) + h * v));
});

/**
 * Bytes that a training step cannot do without, and those that it reached to. Alive must be the parameters, what the optimiser keeps
 * of them, and beside these everything on the tape when the forward pass ends, or all gradients when the update begins.
 */
async function trainingBytes(pattern: string, kind: "adamw" | "muon", width: number, rows: number, length: number) {
  // Of its own, since what others reached to would count.
  const own = await WasmDevice.open({ threads: 1 });
  const source = storySource(1);
  const model = buildModel(pattern, { ...sizes, vocabulary: source.vocabulary, width, layers: 3 });
  const weights = initialWeights(model, own, 1);
  const optimiser = new Optimiser(own, parametersOf(model), { ...optimiserDefaults, kind });
  const kept = own.liveBytes;
  for (let i = 0; i < 4; i++) await trainStep(model, weights, optimiser, source.batch(i, rows, length), 1e-3);
  const reached = own.reachBytes;
  const parameters = [...weights.values()];
  let recorded = 0;
  gradients(parameters, () => {
    const value = lossOf(model, weights, source.batch(0, rows, length));
    recorded = own.liveBytes;
    return value;
  });
  const updating = kept + parameters.reduce((sum, { size }) => sum + 4 * size, 0);
  own.close();
  return { alive: Math.max(recorded, updating), reached };
}

test.each([
  ["MLA", "adamw", 64, 8, 64],
  ["MLA", "muon", 64, 8, 64],
  ["GQA2-128", "adamw", 64, 8, 64],
  ["[KDA,MLA-FoX]", "muon", 64, 8, 64],
  ["TPA", "adamw", 64, 8, 64],
  ["MLA-DSA16", "adamw", 64, 8, 64],
  ["MLA", "adamw", 192, 1, 16],
  ["MLA", "muon", 192, 1, 16],
] as const)(
  "a training step of %s with %s reaches to at most 1.3 times the tensors that must be alive (width %i, %i rows of %i)",
  async (pattern, kind, width, rows, length) => {
    const { alive, reached } = await trainingBytes(pattern, kind, width, rows, length);
    expect(reached).toBeGreaterThan(alive);
    expect(reached / alive).toBeLessThanOrEqual(1.3);
  },
);

test.runIf(process.platform === "linux")(
  "what is to run a large file starts anew, once, with memory given back",
  () => {
    const file = join(tmpdir(), `biform-large-${process.pid}.gguf`);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a program, not a text
    const said = "process.stderr.write(`[${process.env.MALLOC_ARENA_MAX} ${process.execArgv}]`)";
    const env = { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(said)}` };
    const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
    const run = () => spawnSync(process.execPath, [bin, "run", "--tokens", "1", file], { env }).stderr.toString();
    try {
      writeFileSync(file, "");
      expect(run()).toMatch(/^\[undefined \][^[]*expected/);
      truncateSync(file, 2 ** 26 + 1);
      expect(run()).toMatch(/^\[undefined \]\[1 --no-maglev\][^[]*expected the letters GGUF/);
    } finally {
      rmSync(file);
    }
  },
);
