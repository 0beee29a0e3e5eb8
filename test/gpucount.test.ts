import { afterAll, describe, expect, test } from "vitest";
import { generate } from "../src/generate/generate.ts";
import { rehearse } from "../src/generate/rehearse.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import type { FeedForward, Routing } from "../src/model/model.ts";
import type { CacheType } from "../src/tensor/page.ts";
import { initialWeights } from "../src/train/initial.ts";
import { openGpu, uncompiled } from "./fixture/gpu.ts";

// What a token costs a GPU beside its arithmetic: launches, submissions, reads and shaders to wait for, counted. The table is that
// of bench/README.md.
const gpu = await openGpu({ poison: false });
const counting = await openGpu({ poison: false, gpu: await uncompiled() });
afterAll(() => {
  for (const each of [gpu, counting]) if (typeof each !== "string") each.close();
});

/** Most launches of a layer and token by attention (and a dense half, or experts), over a cache long enough that its keys are gone through in pieces. */
type Most = readonly [
  string,
  spec: string,
  form: string,
  cache: CacheType,
  half: "dense" | "experts",
  launches: number,
];
const most: readonly Most[] = [
  ["Llama", "GQA2-128", "grouped", "f32", "dense", 7],
  ["Llama, 8-bit cache", "GQA2-128", "grouped", "q8", "dense", 7],
  ["Qwen3", "GQA2-128-QKNorm", "grouped", "f32", "dense", 7],
  ["MiniCPM3", "MLA-QLoRA", "absorbed", "bf16", "dense", 10],
  ["DeepSeek-V2-Lite", "MLA", "absorbed", "f32", "experts", 11],
  ["DeepSeek-V3", "MLA-QLoRA", "absorbed", "f32", "experts", 12],
  ["Kimi Linear's KDA", "KDA", "recurrent", "f32", "experts", 11],
  ["gated delta net", "GDN", "recurrent", "f32", "dense", 8],
];

const sizes = { vocabulary: 300, width: 64, heads: 4 };
const routing: Routing = { scores: "sigmoid", perToken: 2, groups: 1, perGroup: 1, normalised: true, factor: 1 };
const feed: FeedForward = { kind: "experts", f: 32, x: 8, shared: 64, routing };
const prompt = Int32Array.from({ length: 400 }, (_, i) => i % 300);

if (typeof gpu === "string" || typeof counting === "string")
  test.skip(`launches on WebGPU, since ${[gpu, counting].find((each) => typeof each === "string")}`, () => {});
else {
  describe("launches of a layer and decoded token on WebGPU", () => {
    test.each(most)("%s: at most as many as asked", (_name, spec, form, cache, half, launches) => {
      const of = (layers: number) => {
        const dense = buildModel(spec, { ...sizes, layers });
        const model =
          half === "experts" ? { ...dense, layers: dense.layers.map((layer) => ({ ...layer, feed })) } : dense;
        let found = 0;
        // Nothing runs: what would be launched is counted.
        void counting.rehearse(() => {
          const session = new Session(model, initialWeights(model, counting, 1), { cache });
          session.append(prompt, { form, logits: "last" });
          const before = counting.counts.launches;
          session.append(prompt.subarray(0, 1), { form, logits: "last" });
          found = counting.counts.launches - before;
        });
        return found;
      };
      expect(of(3) - of(2)).toBeLessThanOrEqual(launches);
    });
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
