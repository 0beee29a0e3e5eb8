import { expect, test } from "vitest";
import { cacheValues, parameterCount } from "../src/attention/define.ts";
import { layerSpecs, parseSpec, splitSpecs } from "../src/attention/spec.ts";

const essay = { width: 2048, heads: 16 };

// Attention parameters per layer follow from the essay's model sizes; caches are printed (kexue.fm/archives/10907, parts I to VI).
test.each([
  ["MHA", 16.777, 4096],
  ["GQA2-128", 9.437, 512],
  ["GQA2-192", 14.156, 768],
  ["GQA1-256", 17.826, 512],
  ["MQA-256", 17.826, 512],
  ["GQA1-256-PR", 17.826, 512],
  ["MLA", 13.763, 576],
  ["MLA-256", 21.627, 576],
  ["GQA2-(192+64)-S1", 18.088, 640],
  ["GQA2-(192+64)-S2", 17.826, 512],
  ["GQA4-(64+64)-S2", 9.437, 512],
  ["GQA4-(128+64)-S2", 14.156, 768],
  ["GQA1-(512+64)-S3", 36.831, 576],
  // KDA*3 and GQA8-128 keep a quarter of GQA8-128's 2048 numbers: 512 on average (kexue.fm/archives/11111).
  ["GQA8-128", 12.583, 2048],
  ["KDA", 17.887, 0],
])("%s has the essay's %f M attention parameters per layer and a cache of %i", (spec, millions, cache) => {
  const { variant, sizes } = parseSpec(spec, essay);
  expect(parameterCount(variant, sizes) / 1e6).toBeCloseTo(millions, 3);
  expect(cacheValues(variant, sizes)).toBe(cache);
});

test("query-and-output LoRA takes the essay's parameters: 842 M for 12 layers where without it stands 943 M", () => {
  const count = (spec: string) => {
    const { variant, sizes } = parseSpec(spec, essay);
    return parameterCount(variant, sizes);
  };
  expect(((count("GQA1-256") - count("GQA1-256-QOLoRA")) * 12) / 1e6).toBeCloseTo(943 - 842, 0);
});

test("sizes shrink in proportion to width over heads", () => {
  const { sizes } = parseSpec("MLA-QLoRA", { width: 256, heads: 4 });
  expect(sizes).toMatchObject({ d: 256, h: 4, n: 64, r: 32, e: 96, v: 64, c: 256, q: 192 });
  expect(parseSpec("GQA2-(192+64)-S2", { width: 128, heads: 8 }).sizes).toMatchObject({ g: 2, n: 24, r: 8, v: 32 });
});

test("dims can be exact, and a letter sets a size", () => {
  const { sizes } = parseSpec("MLA", { width: 256, heads: 4, dims: "exact" });
  expect(sizes).toMatchObject({ n: 128, r: 64, v: 128, c: 512 });
  expect(parseSpec("MLA:c96:r16", { width: 256, heads: 4 }).sizes).toMatchObject({ c: 96, r: 16, n: 64, e: 80 });
  expect(parseSpec("GQA1-256-PR16", { width: 128, heads: 1 }).sizes).toMatchObject({ n: 240, r: 16, v: 256 });
});

test.each([
  ["MHX", /got "MHX"/],
  ["", /got ""/],
  ["GQA3-128", /axis g got 3, expected that the groups divide the heads/],
  ["GQA0-128", /size of 0/],
  ["GQA2-0", /size of 0/],
  ["MLA:r7", /axis r got 7, expected that the rotary dims are even/],
  ["MLA:c0", /axis c got 0/],
  ["MLA-QLoRA0", /rank or size 0/],
  ["MLA-64", /axis n got 0|at least 1/],
  ["GQA2-(192+64)-S2:v8", /axis v got 8/],
  ["GQA2-128-FAST", /-FAST does not go with GQA/],
])("%s is refused with the rule it breaks", (spec, message) => {
  expect(() => parseSpec(spec, { width: 64, heads: 4 })).toThrow(message);
});

test("a pattern repeats over the layers", () => {
  expect(splitSpecs("MHA, [GQA2-128*3,MLA], MLA")).toEqual(["MHA", "[GQA2-128*3,MLA]", "MLA"]);
  expect(layerSpecs("[GQA2-128*2,MLA]", 5)).toEqual(["GQA2-128", "GQA2-128", "MLA", "GQA2-128", "GQA2-128"]);
  expect(() => layerSpecs("MLA*0", 2)).toThrow(/SPEC\*TIMES/);
});
