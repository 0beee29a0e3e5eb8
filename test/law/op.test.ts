import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { gradients } from "../../src/grad/tape.ts";
import { reshape, scaleBy } from "../../src/ops/add/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { gatherRows } from "../../src/ops/embed/index.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { agrees, givesBack, repeats } from "./agreement.ts";
import { holds } from "./check.ts";
import { gradientIsDifference } from "./gradient.ts";
import { differentiable, unrecorded } from "./op.ts";
import { probe } from "./shaken.ts";

// Unset memory is NaN, and a write past the end of a tensor is noticed when it is freed.
const open = (threads: number) => WasmDevice.open({ threads, poison: true });
let one: WasmDevice;
let two: WasmDevice;
beforeAll(async () => {
  [one, two] = [await open(1), await open(2)];
});
afterAll(() => {
  one.close();
  two.close();
});

describe.each(Object.entries(differentiable))("%s", (name, { draw, make }) => {
  test("its gradient is the finite difference", () =>
    holds(draw, (drawn) => gradientIsDifference(name, make(drawn), 1)));

  test("wasm agrees with the reference, output and gradients", () =>
    holds(draw, (drawn) => agrees(name, make(drawn), two)));

  test("one and two threads give the same numbers bit for bit", () =>
    holds(draw, (drawn) => repeats(name, make(drawn), one, two)));

  test("a gradient gives back the memory it took", async () => {
    await holds(draw, (drawn) => givesBack(name, make(drawn), new ReferenceDevice()));
    await holds(draw, (drawn) => givesBack(name, make(drawn), two));
  });
});

test("rows of a recorded tensor are refused on a tape, since their gradient would be lost", () => {
  const x = tensor(new ReferenceDevice(), [2, 3], [1, 2, 3, 4, 5, 6]);
  expect(() => gradients([x], () => probe(scaleBy(x.rows(0, 1), 2)))).toThrow(/bare view \[1,3\].*reshape/);
});

test("a row beyond the table is no number, one before it zeros, and no gradient goes to either", async () => {
  for (const device of [new ReferenceDevice(), one]) {
    const table = tensor(device, [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    const rows = tensor(device, [2, 3], [0, 2, -1, 1, 7, 0]);
    const out = await gatherRows(table, rows, { batch: 2 }).read();
    expect([...out]).toEqual([1, 2, Number.NaN, Number.NaN, 0, 0, 7, 8, Number.NaN, Number.NaN, 5, 6]);
    const found = gradients([table], () => {
      const sum = tensor(device, [12], new Float64Array(12).fill(1));
      return einsum("u a, a -> u", reshape(gatherRows(table, rows, { batch: 2 }), [1, 12]), sum);
    });
    expect([...(await found.gradients[0]!.read())]).toEqual([1, 1, 0, 0, 1, 1, 1, 1]);
  }
});

describe.each(Object.entries(unrecorded))("%s", (name, { draw, make }) => {
  test("wasm agrees with the reference", () => holds(draw, (drawn) => agrees(name, make(drawn), two, "output")));

  test("one and two threads give the same numbers bit for bit", () =>
    holds(draw, (drawn) => repeats(name, make(drawn), one, two, "output")));
});
