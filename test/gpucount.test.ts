import { afterAll, describe, expect, test } from "vitest";
import { counted, decodingForms, launchesOf, variantOf } from "../scripts/launches.ts";
import { variants } from "../src/attention/variants.ts";
import { generate } from "../src/generate/generate.ts";
import { rehearse } from "../src/generate/rehearse.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { initialWeights } from "../src/train/initial.ts";
import { openGpu } from "./fixture/gpu.ts";

// What a token costs a GPU beside its arithmetic: launches, submissions, reads and shaders to wait for, counted. The table of
// bench/README.md is made by the same counting.
const gpu = await openGpu({ poison: false });
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

const most = 10;
/** Of each variant of the list a layer is counted, by the names under which its models are built. */
describe.each(variants.map(({ name }) => [name, counted.filter((spec) => variantOf(spec) === name)] as const))(
  "launches of a layer and decoded token by %s",
  (_name, specs) => {
    test("is counted", () => expect(specs).not.toEqual([]));
    test.each(specs)("%s: at most as many as asked", (spec) => {
      for (const half of ["dense", "experts"] as const) {
        const least = Math.min(...decodingForms(spec).map((form) => launchesOf(spec, form, half)));
        expect(least, half).toBeLessThanOrEqual(most);
      }
    });
  },
);

test("a cache in another type takes no launch more", () => {
  for (const cache of ["bf16", "q8"] as const) {
    expect(launchesOf("GQA2-128", "grouped", "dense", cache)).toBe(launchesOf("GQA2-128", "grouped", "dense"));
    expect(launchesOf("MLA", "absorbed", "dense", cache)).toBe(launchesOf("MLA", "absorbed", "dense"));
  }
});

const sizes = { vocabulary: 300, width: 64, heads: 4 };
const prompt = Int32Array.from({ length: 400 }, (_, i) => i % 300);

if (typeof gpu === "string") test.skip(`launches on WebGPU, since ${gpu}`, () => {});
else {
  test("a prompt is read without a read, whatever the pieces, and its end gives one id", async () => {
    const model = buildModel("MLA", { ...sizes, layers: 1, tied: false });
    const weights = initialWeights(model, gpu, 1);
    const session = new Session(model, weights, { context: 100 });
    const { reads } = gpu.counts;
    session.append(prompt.subarray(0, 5), { logits: "last" }).free();
    await gpu.fence();
    expect(gpu.counts.reads).toBe(reads);
    const written: number[] = [];
    // Four pieces.
    const options = { maxTokens: 3, temperature: 0, chunk: 4 };
    for await (const { id } of generate(session, prompt.subarray(5, 20), options)) {
      written.push(id);
      expect(gpu.counts.reads - reads).toBe(written.length);
    }
    expect(written.length).toBe(3);
    session.free();
    for (const t of weights.values()) t.free();
  });

  test("a token is one submission and one read, of two numbers, and once rehearsed its first shader is there", async () => {
    const model = buildModel("GQA2-128", { ...sizes, layers: 1, tied: false });
    const weights = initialWeights(model, gpu, 1);
    await rehearse(gpu, model, weights, { prompts: [6] });
    const session = new Session(model, weights, { context: 100 });
    let before = gpu.counts;
    for await (const _ of generate(session, prompt.subarray(0, 6), { maxTokens: 3, temperature: 0 })) {
      const now = gpu.counts;
      expect([now.submissions - before.submissions, now.reads - before.reads, now.bytes - before.bytes]).toEqual([
        1, 1, 8,
      ]);
      expect(now.waited - before.waited).toBe(0);
      before = now;
    }
    session.free();
    for (const t of weights.values()) t.free();
  });
}
