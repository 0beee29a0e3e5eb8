import { afterAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";
import { packed } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

// Products of more than a few rows: in tiles that a workgroup shares, and where a processor stands in for a GPU without.
const kinds = { "tiles that are shared": await openGpu({ hardware: true }), "as it comes": await openGpu() };
afterAll(() => {
  for (const gpu of Object.values(kinds)) if (typeof gpu !== "string") gpu.close();
});
const reference = new ReferenceDevice();

/** Neighbours in memory along the sum in both, in one, in none; batches; sums over two axes. */
const specs = [
  ["m k, n k -> m n", "m k", "n k"],
  ["m k, k n -> m n", "m k", "k n"],
  ["k m, k n -> m n", "k m", "k n"],
  ["k m, n k -> m n", "k m", "n k"],
  ["b m k, b n k -> b m n", "b m k", "b n k"],
  ["k b m, b k n -> m b n", "k b m", "b k n"],
  ["m k b, n k b -> m n", "m k b", "n k b"],
] as const;
/** No whole tiles; sums so long that several workgroups share one. */
const sizes = [
  { m: 70, n: 33, k: 20, b: 3 },
  { m: 9, n: 40, k: 523, b: 2 },
] as const;

for (const [kind, gpu] of Object.entries(kinds)) {
  if (typeof gpu === "string") {
    test.skip(`products of many rows on WebGPU, since ${gpu}`, () => {});
    continue;
  }
  describe(`products of many rows: ${kind}`, () => {
    test.each(specs)("%s", async (spec, left, right) => {
      for (const z of sizes) {
        const shape = (letters: string) => letters.split(" ").map((l) => z[l as "m"]);
        const random = new Random(4);
        const draw = (letters: string) =>
          Float32Array.from(
            random.normals(
              shape(letters).reduce((x, y) => x * y, 1),
              1,
            ),
          );
        const [a, b] = [draw(left), draw(right)];
        const on = (device: Device) =>
          openScope(device, () => einsum(spec, tensor(device, shape(left), a), tensor(device, shape(right), b)).read());
        const [got, want] = [await on(gpu), await on(reference)];
        expect(got.length).toBe(want.length);
        // Each product and each sum rounded, of numbers whose squares add up to about as many as there are products.
        const most = z.k * z.b * 6 * 2 ** -24 * Math.sqrt(z.k * z.b);
        for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!), `${i}`).toBeLessThan(most);
      }
    });

    test.each(["Q8_0", "Q4_1", "BF16"] as const)("with a weight in %s", (format) =>
      openScope(gpu, async () => {
        const random = new Random(5);
        const [m, w, d] = [21, 37, 64];
        const found = await packed(gpu, format, ["w", "d"], { spec: "", order: "w | d", sizes: { w, d } }, random);
        const x = Float32Array.from(random.normals(m * d, 1));
        const got = await einsum("m d, w d -> m w", tensor(gpu, [m, d], x), found.t).read();
        for (let i = 0; i < m * w; i++) {
          let [sum, size] = [0, 0];
          for (let k = 0; k < d; k++) {
            const term = x[Math.floor(i / w) * d + k]! * found.numbers[(i % w) * d + k]!;
            sum += term;
            size += Math.abs(term);
          }
          expect(Math.abs(got[i]! - sum), `${i}`).toBeLessThan(100 * 2 ** -24 * size + 1e-7);
        }
      }),
    );
  });
}
