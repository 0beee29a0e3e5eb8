import { afterAll, describe, expect, test } from "vitest";
import { einsum } from "../src/ops/einsum/index.ts";
import { Random } from "../src/tensor/random.ts";
import { scope, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";
import { axes, cases, exact, formats, packed, raised } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

/** Every case in the format of most parts; of the others what reads along rows and across them. */
const some = new Set(["projection", "absorbed keys, latent along the row"]);
const every = formats.flatMap((format) =>
  cases.filter(({ what }) => format === "Q6_K" || some.has(what)).map((shape) => ({ format, ...shape })),
);

if (typeof gpu === "string") test.skip(`packed weights on WebGPU, since ${gpu}`, () => {});
else {
  describe("packed weights on WebGPU", () => {
    test.each(every)("$format, $what: $spec", async ({ format, ...shape }) => {
      const random = new Random(7);
      const [la, lb] = shape.spec.split("->")[0]!.split(",").map(axes) as [string[], string[]];
      const rows = la[0] === "x" ? "t" : la[0]!;
      await openScope(gpu, async () => {
        const { t: b, numbers } = await packed(gpu, format, lb, shape, random);
        for (const n of format === "Q6_K" && shape.along ? [1, 3, 33] : [1, 9]) {
          const sizes = { ...shape.sizes, [rows]: n };
          const aShape = la.map((l) => sizes[l]!);
          const a = Float32Array.from(random.normals(sizeOf(aShape), 1));
          const got = await scope(gpu, () => einsum(shape.spec, tensor(gpu, aShape, a), b)).read();
          const { sum, bound } = exact(shape.spec, sizes, a, numbers);
          // Each product rounded, and the sum as it grows (see law/rounding.ts); what stands above a minimum is a sum of two.
          const k = 8 + 2 * Math.sqrt(sizeOf([...new Set(la)].filter((l) => lb.includes(l)).map((l) => sizes[l]!)));
          const span = numbers.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
          let worst = 0;
          sum.forEach((x, i) => {
            const error = Math.abs(got[i]! - x) / (bound[i]! + (raised.has(format) ? 30 * span : 0) + 1e-30);
            worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
          });
          expect(worst, `${n} rows`).toBeLessThan(k * 2 ** -24);
        }
      });
    });
  });
}
