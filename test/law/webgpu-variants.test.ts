import { afterAll, describe, test } from "vitest";
import { long } from "../extent.ts";
import { openGpu } from "../fixture/gpu.ts";
import { gpuLaws, tried } from "./gpu.ts";

// In float32 on whatever GPU there is, a software one included, over the list of variants.
const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

if (typeof gpu === "string") test.skip(`variants on WebGPU, since ${gpu}`, () => {});
else
  describe.each(tried.map((variant) => [variant.name, variant] as const))("%s on WebGPU", (_name, variant) => {
    // Gradients are those of its ops, which have laws of their own; half of the time is for their shaders.
    const laws = Object.entries(gpuLaws(variant, gpu)).filter(([law]) => long || !law.includes("gradients"));
    test.each(laws)("%s", (_law, hold) => hold());
  });
