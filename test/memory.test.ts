import { afterAll, beforeAll, expect, test } from "vitest";
import { WasmDevice } from "../src/device/wasm.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel, type ModelSettings } from "../src/model/build.ts";
import { initialWeights } from "../src/train/initial.ts";

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
