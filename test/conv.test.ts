import { afterAll, beforeAll, expect, test } from "vitest";
import { dataOf } from "../src/device/float.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { gradients } from "../src/grad/tape.ts";
import { accumulate } from "../src/ops/accumulate/index.ts";
import { conv, tail } from "../src/ops/conv/index.ts";
import { multiply } from "../src/ops/multiply/index.ts";
import { rmsNorm } from "../src/ops/norm/index.ts";
import { previous } from "../src/ops/previous/index.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { probe } from "./law/shaken.ts";

// What one call leaves for the next, and what the ops along tokens refuse.
const reference = new ReferenceDevice();
let wasm: WasmDevice;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2, poison: true });
});
afterAll(() => wasm.close());

const normals = (device: Device, shape: readonly number[], seed: number) =>
  tensor(device, shape, new Random(seed).normals(shape.reduce((a, b) => a * b, 1)).map(Math.fround));

/** Tokens taken some at a time, each call given what the one before left. */
async function inParts<T>(
  x: Tensor,
  parts: readonly number[],
  call: (part: Tensor, state: T | undefined) => [Tensor, T],
) {
  const found: number[] = [];
  let [from, state]: [number, T | undefined] = [0, undefined];
  for (const n of parts) {
    const [y, next]: [Tensor, T] = call(x.rows(from, from + n), state);
    found.push(...(await y.read()));
    [from, state] = [from + n, next];
  }
  return found;
}

test.each([2, 3, 4, 5, 8])(
  "a convolution of width %i goes on from its tail as if it had never stopped",
  async (width) => {
    for (const device of [reference, wasm]) {
      const [x, w, bias] = [
        [17, 2, 5],
        [2, 5, width],
        [2, 5],
      ].map((shape, i) => normals(device, shape, i));
      const whole = await conv(x!, w!, { bias }).read();
      const parts = await inParts<Tensor>(x!, [1, 1, 4, 2, 9], (part, before) => [
        conv(part, w!, { bias, before }),
        tail(part, before, width),
      ]);
      expect(parts).toEqual([...whole]);
    }
  },
);

test("the row before and the running sum go on from a last row", async () => {
  for (const device of [reference, wasm]) {
    const x = normals(device, [17, 2, 5], 1);
    const last = (y: Tensor) => y.rows(y.shape[0]! - 1, y.shape[0]!).reshape(y.shape.slice(1));
    const shifted = await inParts<Tensor>(x, [1, 7, 9], (part, first) => [previous(part, { first }), last(part)]);
    expect(shifted).toEqual([...(await previous(x).read())]);
    const summed = await inParts<Tensor>(x, [1, 7, 9], (part, start) => {
      const y = accumulate(part, { start });
      return [y, last(y)];
    });
    const whole = await accumulate(x).read();
    for (const [i, value] of whole.entries()) expect(summed[i]).toBeCloseTo(value, 5);
  }
});

test("a running sum in float32 is as good at the end of a long sequence as at its beginning", async () => {
  const n = 200_000;
  const values = new Random(1).normals(n).map((value) => Math.fround(value - 3));
  const sums = await accumulate(tensor(wasm, [n, 1], values)).read();
  const exact = dataOf(accumulate(tensor(reference, [n, 1], values)));
  for (const i of [0, 99, n / 2, n - 1]) expect(Math.abs(sums[i]! / exact[i]! - 1)).toBeLessThanOrEqual(2 ** -24);
});

test("each op says what it got and what it expected", () => {
  const [x, state] = [normals(reference, [6, 4], 1), normals(reference, [4], 2)];
  const cases: [() => unknown, RegExp][] = [
    [() => multiply(x, state), /multiply: got \[4\], expected \[6\] at axis 0 of \[6,4\]/],
    [() => multiply(x, x, 1), /multiply: got \[6,4\], expected \[4\] at axis 1/],
    [() => previous(x, { batch: 4 }), /previous: got 6 rows, expected a multiple of the batch 4/],
    [() => previous(x, { batch: 2, first: state }), /previous first: got a batch of 2, expected one sequence/],
    [() => accumulate(x, { start: x }), /accumulate start: got \[6,4\], expected \[4\]/],
    [() => gradients([state], () => probe(previous(x, { first: state }))), /previous first: got a tensor on a tape/],
    [() => conv(x, normals(reference, [4, 9], 1)), /conv: got 9 taps, expected 2 to 8/],
    [() => conv(x, normals(reference, [3, 4], 1)), /conv: w got \[3,4\], expected \[4,4\]/],
    [() => conv(x, normals(reference, [4, 4], 1), { bias: x }), /conv: bias got \[6,4\], expected \[4\]/],
    [() => conv(x, normals(reference, [4, 4], 1), { before: x }), /conv before: got \[6,4\], expected \[3,4\]/],
    [() => tail(x, state, 4), /tail: before got \[4\], expected \[3,4\]/],
    [() => rmsNorm(x, normals(reference, [5], 1)), /rmsNorm: gain got \[5\], expected the last axes of \[6,4\]/],
  ];
  for (const [call, message] of cases) {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  }
});
