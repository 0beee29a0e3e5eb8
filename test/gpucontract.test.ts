import { afterAll, describe, expect, test } from "vitest";
import { einsum, einsumInto } from "../src/ops/einsum/index.ts";
import { Random } from "../src/tensor/random.ts";
import { sizeOf, tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";
import { axes, exact } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

/** Contractions at sizes that the law of einsum does not draw: one for each kernel and way to read, with borders that fill no tile. */
const cases = [
  { what: "large tiles", spec: "b t d, b d w -> b t w", sizes: { b: 16, t: 130, d: 20, w: 133 } },
  { what: "sums in parts", spec: "t d, t w -> d w", sizes: { t: 1100, d: 40, w: 70 } },
  { what: "few rows along rows of b", spec: "t d, w d -> t w", sizes: { t: 3, d: 100, w: 1026 } },
  { what: "few rows of each head", spec: "t h d, h w d -> t h w", sizes: { t: 2, h: 3, d: 36, w: 10 } },
  { what: "few rows across rows of b", spec: "t d, d w -> t w", sizes: { t: 5, d: 70, w: 68 } },
  { what: "few columns", spec: "t d, d w -> t w", sizes: { t: 90, d: 50, w: 3 } },
  {
    what: "more loops than a tile takes",
    spec: "a b c d k, d c b a k -> a b c d",
    sizes: { a: 2, b: 3, c: 2, d: 3, k: 5 },
  },
] as const;

if (typeof gpu === "string") test.skip(`contraction on WebGPU, since ${gpu}`, () => {});
else {
  describe("contraction on WebGPU", () => {
    test.each(cases)("$what: $spec", ({ spec, sizes }) =>
      openScope(gpu, async () => {
        const random = new Random(3);
        const [left, right] = spec.split("->") as [string, string];
        const [la, lb] = left.split(",").map(axes) as [string[], string[]];
        const shape = (letters: readonly string[]) => letters.map((l) => (sizes as Record<string, number>)[l]!);
        const draw = (letters: readonly string[]) => Float32Array.from(random.normals(sizeOf(shape(letters)), 1));
        const [a, b, c] = [draw(la), draw(lb), draw(axes(right))];
        const { sum, bound } = exact(spec, sizes, a, b);
        const [x, y] = [tensor(gpu, shape(la), a), tensor(gpu, shape(lb), b)];
        const got = await einsum(spec, x, y).read();
        const added = await einsumInto(spec, x, y, shape(axes(right)), tensor(gpu, shape(axes(right)), c)).read();
        // Each product rounded, and the sum as it grows.
        const unit = (8 + 2 * Math.sqrt(sizes[la.find((l) => lb.includes(l)) as never] as number)) * 2 ** -24;
        let worst = 0;
        sum.forEach((value, i) => {
          const [one, two] = [Math.abs(got[i]! - value), Math.abs(added[i]! - value - c[i]!)];
          const most = unit * (bound[i]! + Math.abs(c[i]!)) + 1e-30;
          worst = Math.max(worst, ...[one / most, two / most].map((x) => (Number.isNaN(x) ? 1e9 : x)));
        });
        expect(worst).toBeLessThan(1);
      }),
    );
  });
}
