import { afterAll, describe, test } from "vitest";
import { long } from "../extent.ts";
import { openGpu } from "../fixture/gpu.ts";
import { agrees, givesBack } from "./agreement.ts";
import { holds } from "./check.ts";
import { differentiable, unrecorded } from "./op.ts";

// In float32 on whatever GPU there is, a software one included. Unset memory is NaN, and a write past the end of a block is noticed.
const gpu = await openGpu({ hardware: true });
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

if (typeof gpu === "string") test.skip(`WebGPU, since ${gpu}`, () => {});
else {
  // A software GPU compiles a third of all the time for factors, whose gradient is that of attention and of products.
  const tried = Object.entries(differentiable).filter(([name]) => long || name !== "attendFactored");
  describe.each(tried)("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference, output and gradients", () =>
      holds(draw, (drawn) => agrees(name, make(drawn), gpu), 12));

    test("a gradient gives back the memory it took", () =>
      holds(draw, (drawn) => givesBack(name, make(drawn), gpu), 6));
  });

  // Sums of threads that share a subgroup go another way without, and launches are cut where fewer buffers may be bound.
  const least = long ? await openGpu({ without: ["subgroups", "shader-f16"], hardware: true, least: {} }) : undefined;
  afterAll(() => {
    if (least && typeof least !== "string") least.close();
  });
  if (least && typeof least !== "string")
    test.each(Object.entries({ ...differentiable, ...unrecorded }))(
      "%s agrees with the reference on an adapter that has no more than any",
      (name, { draw, make }) =>
        holds(draw, (drawn) => agrees(name, make(drawn), least, name in unrecorded ? "output" : "gradients"), 8),
    );
  else test.skip("ops on an adapter that has no more than any, since their shaders are other ones", () => {});

  // Where a processor stands in for a GPU some kernels are others.
  const own = await openGpu();
  afterAll(() => {
    if (typeof own !== "string") own.close();
  });
  const others = Object.entries(differentiable).filter(([name]) =>
    (long ? ["einsum", "attend", "products"] : ["einsum"]).includes(name),
  );
  if (typeof own !== "string" && own.traits.software)
    test.each(others)("%s agrees with the reference on a processor that stands in for a GPU", (name, { draw, make }) =>
      holds(draw, (drawn) => agrees(name, make(drawn), own), 8),
    );
  else test.skip("ops on a processor that stands in for a GPU, since this is none", () => {});

  describe.each(Object.entries(unrecorded))("%s on WebGPU", (name, { draw, make }) => {
    test("agrees with the reference", () => holds(draw, (drawn) => agrees(name, make(drawn), gpu, "output"), 12));
  });
}
