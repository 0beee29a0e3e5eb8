import { afterAll, beforeAll, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { gradients } from "../src/grad/tape.ts";
import { type Mapping, map } from "../src/ops/map/index.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { openScope } from "./fixture/scope.ts";
import { probe } from "./law/shaken.ts";

let wasm: WasmDevice;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 1, poison: true });
});
afterAll(() => wasm.close());

const mappings: readonly Mapping[] = ["sigmoid", "silu", "softplus", "logSigmoid", "exp", "relu", "tanh"];
/** From -85 to 85, and as many again near 0: float32 numbers, so that both devices see the same. */
const points = Float32Array.from({ length: 20001 }, (_, i) => (i - 10000) * (i % 2 ? 0.0085 : 0.0001));
const extremes = [-1e30, -1000, -104, -88.5, -0, 0, 88.5, 104, 1000, 1e30];

const on = (device: Device, by: Mapping, values: ArrayLike<number>) =>
  openScope(device, () => map(tensor(device, [values.length], values), by).read());

test.each(mappings)("%s is good to 2 float32 epsilons of its value, however small that is", async (by) => {
  const exact = await on(new ReferenceDevice(), by, points);
  const found = await on(wasm, by, points);
  let worst = 0;
  // Not below the smallest normal number, where float32 is no longer relative.
  for (const [i, x] of exact.entries())
    worst = Math.max(worst, Math.abs(found[i]! - x) / Math.max(Math.abs(x), 2 ** -126) / 2 ** -23);
  expect(worst).toBeLessThan(2);
});

test.each(mappings)("%s and its derivative stay finite where an exponential would not", async (by) => {
  for (const device of [new ReferenceDevice(), wasm]) {
    const x = tensor(device, [extremes.length], by === "exp" ? extremes.map((value) => Math.min(value, 88)) : extremes);
    const { gradients: found } = gradients([x], () => probe(map(x, by)));
    for (const t of [map(x, by), ...found]) expect((await t.read()).every(Number.isFinite)).toBe(true);
  }
});

test.each(mappings)("%s of NaN is NaN", async (by) => {
  expect(await on(wasm, by, [Number.NaN, 1])).toEqual(Float32Array.of(Number.NaN, (await on(wasm, by, [1, 1]))[0]!));
});
