import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { gradients } from "../../src/grad/tape.ts";
import { scaled } from "../../src/ops/add/index.ts";
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
  expect(() => gradients([x], () => probe(scaled(x.rows(0, 1), 2)))).toThrow(/bare view \[1,3\].*reshape/);
});

describe.each(Object.entries(unrecorded))("%s", (name, { draw, make }) => {
  test("wasm agrees with the reference", () => holds(draw, (drawn) => agrees(name, make(drawn), two, "output")));

  test("one and two threads give the same numbers bit for bit", () =>
    holds(draw, (drawn) => repeats(name, make(drawn), one, two, "output")));
});
