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

/** Ops that have all their kernels; the others are being written. */
const ready: readonly string[] = [
  ...["accumulate", "adamw", "add", "addBias", "attend", "attendFactored", "conv", "crossEntropy", "delta"],
  ...["deltaContinued", "einsum", "exp", "gate", "gather", "gatherRows", "leaders", "logSigmoid", "merge"],
  ...["multiply", "previous", "relu", "reshape", "rmsNorm", "rope", "route", "scaled", "select", "sigmoid", "silu"],
  ...["softplus", "squares", "tanh"],
];
const done = ([name]: readonly [string, unknown]) => ready.includes(name);

if (typeof gpu === "string") test.skip(`WebGPU, since ${gpu}`, () => {});
else {
  describe.each(Object.entries(differentiable).filter(done))("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference, output and gradients", () =>
      holds(draw, (drawn) => agrees(name, make(drawn), gpu), 12));

    test("a gradient gives back the memory it took", () =>
      holds(draw, (drawn) => givesBack(name, make(drawn), gpu), 6));
  });

  describe.each(Object.entries(unrecorded).filter(done))("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference", () => holds(draw, (drawn) => agrees(name, make(drawn), gpu, "output"), 12));
  });
}
