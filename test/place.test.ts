import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { placeModel } from "../src/checkpoint/place.ts";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { type Sample, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import type { MlaLayout } from "../src/family/table.ts";
import { Session } from "../src/generate/session.ts";
import { gradients } from "../src/grad/tape.ts";
import { feedForward } from "../src/model/feed.ts";
import { formsOf, type Model } from "../src/model/model.ts";
import type { Weights } from "../src/model/transformer.ts";
import { reshape } from "../src/ops/add/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { deepseek, saveCheckpoint } from "./fixture/checkpoint.ts";
import { randomCheckpoint } from "./fixture/plain.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-place-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const ids = Int32Array.of(3, 117, 58, 239, 100, 21, 21, 305, 30, 8, 9, 10);

/** Widths that every block format divides. */
function config(preset: Preset) {
  const sizes = { hidden_size: 256, intermediate_size: 512, vocab_size: 320 };
  const latent = { kv_lora_rank: 256, q_lora_rank: 256, moe_intermediate_size: 256 };
  const all = presetConfig(preset, "tiny");
  const own = Object.entries(latent).filter(([key]) => all[key]);
  return { ...all, ...sizes, ...Object.fromEntries(own) };
}

/** Logits of a prompt at once, then token by token, in one form. */
async function logits(model: Model, weights: Weights, form: string): Promise<number[]> {
  const session = new Session(model, weights, { context: ids.length });
  const all: number[] = [];
  for (const chunk of [ids.slice(0, 8), ...Array.from(ids.slice(8), (id) => Int32Array.of(id))]) {
    const out = session.append(chunk, { form });
    all.push(...Array.from(await out.read()));
    out.free();
  }
  session.free();
  return all;
}

const distance = (a: readonly number[], b: readonly number[]) =>
  a.reduce((worst, x, i) => Math.max(worst, Number.isNaN(x) ? Number.POSITIVE_INFINITY : Math.abs(x - b[i]!)), 0);

/** The difference's norm as a share of b's. */
function apart(a: readonly number[], b: readonly number[]): number {
  const size = (x: readonly number[]) => Math.sqrt(x.reduce((sum, y) => sum + y * y, 0));
  return size(a.map((x, i) => x - b[i]!)) / size(b);
}

/** The same types once more, in the other layout. */
const again: [Preset, Sample["type"], number, MlaLayout][] = [
  ["deepseek2-moe", "F16", 1e-5, "absorbed"],
  ["deepseek2-moe", "Q8_0", 0.05, "joint"],
];

describe("a packed model", () => {
  // Activations of few rows are rounded to 8 bits for quantised weights: that, not the weights, makes the difference.
  test.each<[Preset, Sample["type"], limit: number, MlaLayout]>([
    ["llama", "F32", 1e-5, "absorbed"],
    ["deepseek2-moe", "F16", 1e-5, "joint"],
    ["minicpm3", "BF16", 1e-5, "joint"],
    ["deepseek2-moe", "Q8_0", 0.05, "absorbed"],
    ["llama", "Q4_0", 0.05, "absorbed"],
    ["deepseek2-moe", "Q4_K", 0.05, "absorbed"],
    ["llama", "Q6_K", 0.05, "absorbed"],
    ...(long ? again : []),
  ])("%s in %s is apart from float64 by less than %s (%s)", async (preset, type, limit, layout) => {
    const file = join(dir, "model.gguf");
    await writeSampleGguf(file, config(preset), { seed: 5, type, layout });
    const exact = await loadModel(file, new ReferenceDevice());
    const device = await WasmDevice.open({ threads: 2, poison: true });
    try {
      const { model, weights } = await loadModel(file, device, { weights: "packed" });
      expect(weights.get("layers.0.feed.wDown")!.packing!.format).toBe(type);
      // In float64 its forms are one function (see test/law).
      const expected = await logits(model, exact.weights, formsOf(model)[0]!);
      for (const form of formsOf(model)) {
        const got = await logits(model, weights, form);
        expect(got).toHaveLength(expected.length);
        expect(apart(got, expected)).toBeLessThan(limit);
      }
      for (const t of weights.values()) t.free();
      expect(device.liveBytes).toBe(0);
    } finally {
      device.close();
    }
  });

  test("gives the same bits in several memories, which hold it together", async () => {
    const file = join(dir, "model.gguf");
    await writeSampleGguf(file, config("deepseek2-moe"), { seed: 5, type: "Q8_0", layout: "absorbed" });
    const open = () => WasmDevice.open({ threads: 1, poison: true });
    const [one, several] = [await open(), await open()];
    const alone = await loadModel(file, one, { weights: "packed" });
    const capacity = Math.ceil(one.liveBytes * 0.6);
    const { model, weights, more } = await loadModel(file, several, { weights: "packed", another: open, capacity });
    expect(more.length).toBeGreaterThan(0);
    const live = [several, ...more].map((device) => device.liveBytes);
    expect(live.reduce((a, b) => a + b, 0)).toBe(one.liveBytes);
    expect(Math.max(...live)).toBeLessThanOrEqual(capacity);
    for (const form of formsOf(model))
      expect(await logits(model, weights, form)).toEqual(await logits(model, alone.weights, form));
    // Nothing but the weights is left in any of them.
    expect([several, ...more].map((device) => device.liveBytes)).toEqual(live);
    for (const device of [one, several, ...more]) device.close();
  });

  test("that needs a second memory says so where there is none", async () => {
    const file = join(dir, "model.gguf");
    await writeSampleGguf(file, config("llama"), { seed: 5, type: "Q8_0", layout: "joint" });
    const device = await WasmDevice.open({ threads: 1 });
    const loading = loadModel(file, device, { weights: "packed", capacity: 1_200_000 });
    await expect(loading).rejects.toThrow(DeviceError);
    expect(device.liveBytes).toBe(0);
    device.close();
  });
});

describe("placement", () => {
  const layers = (n: number, size: number) =>
    new Map([
      ["embed", 5],
      ...Array.from({ length: n }, (_, i) => [`layers.${i}.x`, size] as const),
      ["norm", 1],
      ["head", 4],
    ]);

  test("takes as few memories as hold the weights, about equally full", () => {
    const sizes = layers(9, 10);
    const { memories, of, bytes } = placeModel(sizes, { capacity: 45, available: 1000 });
    expect([memories, bytes]).toEqual([3, 100]);
    const full = [0, 0, 0];
    for (const [name, size] of sizes) full[of(name)]! += size;
    expect(Math.max(...full)).toBeLessThanOrEqual(40);
    const order = [...sizes.keys()].map(of);
    expect(order).toEqual(order.toSorted());
  });

  test("refuses a layer larger than a memory, and a model larger than the machine's", () => {
    expect(() => placeModel(layers(2, 50 << 20), { capacity: 40 << 20, available: 1e12 })).toThrow(
      /layers.0: got 50 MiB, expected at most the 40 MiB/,
    );
    expect(() => placeModel(layers(4, 50 << 20), { capacity: 1e12, available: 150 << 20 })).toThrow(
      /weights: got 201 MiB, expected at most the 150 MiB/,
    );
  });
});

describe("experts", () => {
  /** The feed-forward of the first layer that has experts, without and on a tape. */
  async function both(device: Device): Promise<[ArrayLike<number>, ArrayLike<number>]> {
    await saveCheckpoint(dir, deepseek, randomCheckpoint(deepseek, 3));
    const { model, weights } = await loadModel(dir, device);
    const p = Object.fromEntries(
      [...weights].flatMap(([name, t]) => (name.startsWith("layers.1.feed.") ? [[name.slice(14), t]] : [])),
    );
    const x = tensor(device, [11, 24], new Random(1).normals(11 * 24, 1));
    const { feed } = model.layers[1]!;
    const chosen = await feedForward(feed, p, x).read();
    let every: Promise<ArrayLike<number>> | undefined;
    gradients([x], () => {
      const y = feedForward(feed, p, x);
      every = y.read();
      return reshape(einsum("t d, t d -> ", y, y), [1]);
    });
    return [chosen, (await every)!];
  }

  test("that tokens chose alone give what all of them give with the router's zeros", async () => {
    const [chosen, every] = await both(new ReferenceDevice());
    expect(distance(Array.from(chosen), Array.from(every))).toBeLessThan(1e-14);
    const device = await WasmDevice.open({ threads: 2 });
    const [chosen32, every32] = await both(device);
    expect(distance(Array.from(chosen32), Array.from(every32))).toBeLessThan(1e-5);
    device.close();
  });
});
