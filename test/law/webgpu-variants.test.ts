import { afterAll, describe, test } from "vitest";
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
    test.each(Object.entries(gpuLaws(variant, gpu)))("%s", (_law, hold) => hold());
  });
