import { afterAll, describe, test } from "vitest";
import { openGpu } from "../fixture/gpu.ts";
import { agrees, givesBack } from "./agreement.ts";
import { holds } from "./check.ts";
import { differentiable, unrecorded } from "./op.ts";

// In float32 on whatever GPU there is, a software one included. Unset memory is NaN, and a write past the end of a block is noticed.
const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

if (typeof gpu === "string") test.skip(`WebGPU, since ${gpu}`, () => {});
else {
  describe.each(Object.entries(differentiable))("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference, output and gradients", () =>
      holds(draw, (drawn) => agrees(name, make(drawn), gpu), 12));

    test("a gradient gives back the memory it took", () =>
      holds(draw, (drawn) => givesBack(name, make(drawn), gpu), 6));
  });

  describe.each(Object.entries(unrecorded))("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference", () => holds(draw, (drawn) => agrees(name, make(drawn), gpu, "output"), 12));
  });
}
