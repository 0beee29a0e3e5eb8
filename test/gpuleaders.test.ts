import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { Writer } from "../src/generate/writer.ts";
import { leaders } from "../src/ops/leaders/index.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";

const gpu = await openGpu();
let devices: Device[] = [];
beforeAll(async () => {
  devices = [new ReferenceDevice(), await WasmDevice.open({ threads: 1 }), ...(typeof gpu === "string" ? [] : [gpu])];
});
afterAll(() => {
  for (const device of devices) device.close();
});

describe("leaders", () => {
  test("come in falling order, equal ones by their places, and no numbers before all", async () => {
    for (const device of devices) {
      const x = tensor(device, [3, 5], [1, 3, -2, 3, 0, -1, Number.NaN, 7, Number.NaN, 2, -0, 0, -5, -0, -1]);
      expect([...(await leaders(x, 3).read())], device.kind).toEqual([
        ...[1, 3, 0, 3, 3, 1],
        ...[1, 3, 2, Number.NaN, Number.NaN, 7],
        ...[0, 1, 3, -0, 0, -0],
      ]);
    }
  });

  test("of a row are as many as it has numbers at most", () => {
    const x = tensor(new ReferenceDevice(), [1, 3], [1, 2, 3]);
    for (const k of [0, 4, 1.5, Number.NaN]) expect(() => leaders(x, k)).toThrow(/leaders: got .* expected 1 to 64/);
  });

  test("decide the very token that all logits decide, wherever they are said to", async () => {
    const random = new Random(3);
    let distinct = 0;
    for (let i = 0; i < 200; i++) {
      const n = 1 + random.integer(300);
      const logits = Float32Array.from({ length: n }, () => Math.round(8 * random.normal()) / 4);
      const settings = {
        temperature: i % 5 === 0 ? 0 : 0.2 + random.uniform(),
        topK: 1 + random.integer(64),
        topP: i % 3 ? 0.3 + 0.7 * random.uniform() : 1,
        minP: i % 2 ? 0.2 * random.uniform() : 0,
        seed: i + 1,
      };
      const [one, other] = [0, 1].map(() => new Writer(Int32Array.of(1), 100, settings)) as [Writer, Writer];
      const k = Math.min(n, one.leaders!);
      const row = await leaders(tensor(devices[i % devices.length]!, [1, n], logits), k).read();
      const id = one.stepByLeaders(row).id;
      expect(id, JSON.stringify(settings)).toBe(other.step(logits).id);
      if (id !== row[0]) distinct++;
    }
    // Some were no mere likeliest ones.
    expect(distinct).toBeGreaterThan(20);
  });

  test("decide nothing where any logit may", () => {
    const of = (options: object) => new Writer(Int32Array.of(1), 100, options).leaders;
    expect(of({ temperature: 0 })).toBe(1);
    expect(of({ topK: 20 })).toBe(20);
    const all = [
      ...[{}, { topK: 65 }, { topP: 0.5 }, { temperature: 0, repetitionPenalty: 1.1 }, { topK: 5, presencePenalty: 1 }],
      ...[
        { topK: 5, frequencyPenalty: 1 },
        { temperature: 0, logprobs: 0 },
        { temperature: 0, bias: new Map([[1, 2]]) },
      ],
    ];
    for (const options of all) expect(of(options), JSON.stringify(options)).toBeUndefined();
  });
});
