import { afterAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { attend } from "../src/ops/attend/index.ts";
import { products } from "../src/ops/products/index.ts";
import { ready } from "../src/ops/ready/index.ts";
import { rotation } from "../src/ops/rope/rotation.ts";
import { select } from "../src/ops/select/index.ts";
import { PAGE } from "../src/tensor/page.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { openScope } from "./fixture/scope.ts";

// Sparse selection beside a cache, on whatever GPU there is: a token's launches are few, and what they share gives what the reference gives.
const gpu = await openGpu();
/** One whose workgroups do at once what a processor does one after the other: those that attend choose their keys themselves. */
const wide = await openGpu({ hardware: true });
afterAll(() => {
  for (const device of [gpu, wide]) if (typeof device !== "string") device.close();
});
const reference = new ReferenceDevice();

if (typeof gpu === "string" || typeof wide === "string")
  test.skip(`sparse selection on WebGPU, since ${gpu}`, () => {});
else {
  test("vectors of one block, normed by a layer's norm or not, turned or not, in one launch", async () => {
    const random = new Random(3);
    const [rows, d] = [3, 24];
    const widths = [8, 6, 12, 10];
    const x = random.normals(rows * d, 1);
    const weights = widths.map((w) => random.normals(w * d, 0.5));
    const [gain, bias] = [random.normals(12, 1), random.normals(12, 1)];
    const positions = Int32Array.of(5, 6, 900);
    const on = (device: Device) =>
      openScope(device, async () => {
        const factors = widths.map((w, i) => ["t d, w d -> t w", tensor(device, [w, d], weights[i]!)] as const);
        const [a, b, c, e] = products(tensor(device, [rows, d], x), ...factors);
        const [of, to] = [tensor(device, [12], gain), tensor(device, [12], bias)];
        const before = gpu.counts.launches;
        const list = ready(
          { rotation: rotation(4, 10000, "half"), positions },
          { x: a! },
          { x: c!, gain: of, bias: to, eps: 1e-5 },
          { x: b!, gain: tensor(device, [6], gain.slice(0, 6)), turned: false },
          { x: e!, turned: false },
        );
        const found = await Promise.all(list.map(async (y) => [...(await y.read())]));
        return { found, launches: gpu.counts.launches - before };
      });
    const [got, want] = [await on(gpu), await on(reference)];
    expect(got.launches).toBe(1);
    // Sums of 24 products, then at most some twenty roundings of numbers near 1.
    want.found.forEach((numbers, i) => {
      numbers.forEach((y, at) => void expect(Math.abs(got.found[i]![at]! - y), `${i} ${at}`).toBeLessThan(2e-5));
    });
  });

  /** Scores are whole numbers, exact on every device, and many of them equal; some rows have fewer keys than they choose. */
  const choices = [
    { batch: 1, t: 1, s: 700, count: 300, h: 3 },
    { batch: 2, t: 3, s: 70, count: 17, h: 40 },
    { batch: 1, t: 8, s: 9, count: 6, h: 1 },
    { batch: 1, t: 2, s: 5, count: 5, h: 2, causal: false },
  ] as const;
  test.each(choices)("keys are chosen by those who attend to them, and told: %o", async (z) => {
    const { batch, t, s, count, h } = z;
    const causal = !("causal" in z);
    const [heads, e] = [2, 20];
    const random = new Random(6);
    const some = (size: number, most: number) =>
      Float64Array.from({ length: size }, () => random.integer(2 * most + 1) - most);
    const [qi, ki, wi] = [some(batch * t * heads * 3, 2), some(batch * s * 3, 2), some(batch * t * heads, 2)];
    const [q, k, v] = [
      random.normals(batch * t * h * e, 1),
      random.normals(batch * s * e, 1),
      random.normals(batch * s * 7, 1),
    ];
    const on = (device: Device) =>
      openScope(device, async () => {
        const [key, value, query] = [
          tensor(device, [batch * s, e], k),
          tensor(device, [batch * s, 7], v),
          tensor(device, [batch * t, h, e], q),
        ];
        const indexer = {
          q: tensor(device, [batch * t, heads, 3], qi),
          k: tensor(device, [batch * s, 3], ki),
          weights: tensor(device, [batch * t, heads], wi),
        };
        const before = wide.counts.launches;
        const { rows, missing } = select(indexer, { scale: 0.5, count, batch, causal });
        const o = attend(value, { scale: e ** -0.5, batch, causal, chosen: rows }, [query, key]);
        const launches = wide.counts.launches - before;
        return { launches, o: await o.read(), rows: [...(await rows.read())], missing: [...(await missing.read())] };
      });
    const [got, want] = [await on(wide), await on(reference)];
    // What scores, and what attends; results over pieces wait for what comes next.
    expect(got.launches).toBe(2);
    expect([got.rows, got.missing]).toEqual([want.rows, want.missing]);
    // Weights of an exponential of 20 products, good to some units in the last place, and sums of as many terms as there are keys.
    want.o.forEach((y, i) => void expect(Math.abs(got.o[i]! - y), `${i}`).toBeLessThan(1e-5));
  });

  // As wide as the indexer's weights make no whole vectors, and as they do; a software GPU takes seconds to compile each.
  const specs = ["MLA-DSA16:j3", ...(long ? ["MLA-DSA16:j4", "MLA-DSA16-QLoRA:j3"] : [])];
  const devices = [
    [gpu, 0],
    [wide, gpu.traits.software ? 1 : 0],
  ] as const;
  const pairs = specs.flatMap((spec) => devices.map(([device, fewer]) => [spec, device, fewer] as const));
  describe.each(pairs)("%s", (spec, gpu, fewer) => {
    test.each(long ? (["f32", "bf16", "q8"] as const) : (["q8"] as const))(
      "tokens over a cache of %s are the reference's, in few launches",
      async (cache) => {
        const model = buildModel(spec, { vocabulary: 40, width: 64, heads: 4, layers: 1 });
        const ids = Int32Array.from({ length: 2 * PAGE + 11 }, (_, i) => (i * i + 3 * i) % 40);
        const on = (device: Device) =>
          openScope(device, async () => {
            const weights = initialWeights(model, device, 7);
            const session = new Session(model, weights, { cache, context: 300 });
            session.append(ids, { form: "absorbed" });
            const found: number[][] = [];
            const launches: number[] = [];
            for (const id of [3, 17, 5]) {
              const before = gpu.counts.launches;
              const logits = session.append(Int32Array.of(id), { form: "absorbed", logits: "last" });
              launches.push(gpu.counts.launches - before);
              found.push([...(await logits.read())]);
            }
            session.free();
            return { found, launches };
          });
        const [got, want] = [await on(gpu), await on(reference)];
        // A layer's, the embedding, the last norm and the head.
        const most = (spec.includes("QLoRA") ? 10 : 9) - fewer;
        expect(Math.max(...got.launches)).toBeLessThanOrEqual(most + 3);
        want.found.forEach((logits, i) => {
          const spread = Math.sqrt(logits.reduce((sum, y) => sum + y * y, 0) / logits.length);
          // A key chosen otherwise moves logits by more than a hundredth of their spread.
          logits.forEach((y, at) => {
            const off = Math.abs(got.found[i]![at]! - y) / spread;
            expect(off, `token ${i}, logit ${at}`).toBeLessThan(1e-4);
          });
        });
      },
    );
  });
}
