import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { storySource } from "../src/data/story.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { generate } from "../src/generate/generate.ts";
import { Session } from "../src/generate/session.ts";
import { gradients } from "../src/grad/tape.ts";
import { buildModel } from "../src/model/build.ts";
import { addBias } from "../src/ops/bias/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { countFlops } from "../src/ops/flops.ts";
import { rope } from "../src/ops/rope/index.ts";
import { positionsOf, type Rotation, rotation, tableOf } from "../src/ops/rope/rotation.ts";
import { DeviceError, ShapeError } from "../src/tensor/error.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { type TrainSettings, train } from "../src/train/train.ts";

const reference = new ReferenceDevice();
let wasm: WasmDevice;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 1, poison: true });
});
afterAll(() => wasm.close());

const ones = (shape: readonly number[], device: Device = reference) =>
  tensor(device, shape, new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(1));
const product = () => einsum("a b, b c -> a c", ones([2, 3]), ones([3, 5]));

describe("FLOPs", () => {
  test("are those of the body, and of the bodies within", () => {
    product();
    const outer = countFlops(() => {
      product();
      return countFlops(() => [product(), product()]).flops;
    });
    expect(outer.result).toBe(2 * 60);
    expect(outer.flops).toBe(3 * 60);
  });

  test("of a body that fails are counted in the one around it, and the next count starts from none", () => {
    const { flops } = countFlops(() => {
      expect(() =>
        countFlops(() => {
          product();
          throw new Error("stop");
        }),
      ).toThrow("stop");
    });
    expect(flops).toBe(60);
    expect(countFlops(() => undefined).flops).toBe(0);
  });

  test("of an asynchronous body are refused, since what others do in its pauses would be in them", () => {
    expect(() => countFlops(async () => product())).toThrow(DeviceError);
  });

  test("of a gradient are twice those of its products; additions count none", () => {
    const [x, w, b] = [ones([2, 3]), ones([3, 5]), ones([5])];
    const loss = () =>
      einsum(
        "u a, a -> u",
        einsum("a c, u c -> u a", addBias(einsum("a b, b c -> a c", x, w), b), ones([1, 5])),
        ones([2]),
      );
    expect(countFlops(loss).flops).toBe(2 * (2 * 3 * 5 + 2 * 5 + 2));
    expect(countFlops(() => gradients([x, w, b], loss)).flops).toBe(3 * 60 + 2 * 20 + 2 * 4);
  });
});

describe("training, generating and measuring side by side in one process", () => {
  const settings = (pattern: string, seed: number): TrainSettings => ({
    pattern,
    model: { width: 32, heads: 4, layers: 1, vocabulary: 256, dims: "scaled", base: 10000, tied: true },
    optimiser: optimiserDefaults,
    rate: 0.003,
    warmup: 1,
    floor: 0.1,
    steps: 6,
    batch: 2,
    length: 16,
    seed,
    evaluateEvery: 3,
    heldOutBatches: 1,
    source: "story",
  });
  const source = storySource(1);
  const learn = async (pattern: string, seed: number, device: Device) => {
    const { training, weights } = await train(settings(pattern, seed), source, device);
    for (const t of weights.values()) t.free();
    return training.losses;
  };
  const write = async (device: Device) => {
    const model = buildModel("MLA", settings("MLA", 1).model);
    const weights = initialWeights(model, device, 3);
    const session = new Session(model, weights, { context: 40 });
    const ids: number[] = [];
    for await (const { id } of generate(session, Int32Array.of(1, 2, 3), { maxTokens: 30, temperature: 0 })) {
      ids.push(id);
      // Lets the others go on, as whoever shows the text does.
      await new Promise((resolve) => setImmediate(resolve));
    }
    session.free();
    for (const t of weights.values()) t.free();
    return ids;
  };
  const measure = async () => {
    const found = new Set<number>();
    for (let i = 0; i < 30; i++) {
      found.add(countFlops(product).flops);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return [...found];
  };

  test.each(["one device", "two devices"])("give what each gives alone: %s", async (on) => {
    const other = on === "one device" ? wasm : await WasmDevice.open({ threads: 1, poison: true });
    const alone = [await learn("MLA", 1, wasm), await learn("GQA2-128", 2, other), await write(other), await measure()];
    const beside = await Promise.all([learn("MLA", 1, wasm), learn("GQA2-128", 2, other), write(other), measure()]);
    expect(beside).toEqual(alone);
    expect(alone[3]).toEqual([60]);
    if (other !== wasm) other.close();
  });
});

describe("a bias", () => {
  test.each([[[4]], [[3, 1]], [[6]], [[1, 3]], [[]]])("of [%s] on [2, 3] is refused", (shape) => {
    expect(() => addBias(ones([2, 3]), ones(shape))).toThrow(ShapeError);
  });

  test("of many rows has the exact sum for a gradient", async () => {
    const rows = 100_000;
    for (const device of [reference, wasm]) {
      const bias = ones([19], device);
      const x = ones([rows, 19], device);
      const found = gradients([bias], () =>
        einsum(
          "t u, t u -> u",
          einsum("t e, e u -> t u", addBias(x, bias), ones([19, 1], device)),
          ones([rows, 1], device),
        ),
      );
      expect(new Set(await found.gradients[0]!.read())).toEqual(new Set([rows]));
    }
  });
});

describe("tables of angles", () => {
  const positions = positionsOf(0, 8);
  const plain = rotation(8);
  const beyond = (from: number, factor: number): Rotation => ({
    ...plain,
    beyond: { from, frequencies: plain.frequencies.map((f) => f / factor) },
  });
  const all: readonly (readonly [string, Rotation])[] = [
    ["plain", plain],
    ["another base", rotation(8, 500)],
    ["fewer pairs", rotation(6)],
    ["a magnitude", { ...plain, magnitude: 2 }],
    ["long factors", beyond(4, 2)],
    ["other long factors", beyond(4, 3)],
    ["long factors from elsewhere", beyond(5, 2)],
  ];

  test("are told apart by all that makes them", async () => {
    const tables = all.map(([, turn]) => tableOf(reference, turn, positions, "lasting"));
    for (const [i, [name, turn]] of all.entries()) {
      // Positions of its own: nothing is known of them.
      const fresh = tableOf(reference, turn, positionsOf(0, 8), "lasting");
      expect([...(await tables[i]!.read())], name).toEqual([...(await fresh.read())]);
    }
  });

  test("are one for layers that bring equal rotations of their own", () => {
    const table = tableOf(reference, beyond(4, 2), positions, "lasting");
    expect(tableOf(reference, beyond(4, 2), positions, "lasting")).toBe(table);
  });

  test("two LongRoPE rotations of the same short factors turn the same keys differently", async () => {
    const x = ones([8, 8]);
    const [a, b] = [await rope(x, beyond(4, 2), positions).read(), await rope(x, beyond(4, 3), positions).read()];
    expect(a.slice(0, 32)).toEqual(b.slice(0, 32));
    expect(a.slice(32)).not.toEqual(b.slice(32));
  });
});
