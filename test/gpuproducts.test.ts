import { afterAll, describe, expect, test } from "vitest";
import { einsum } from "../src/ops/einsum/index.ts";
import { Normed } from "../src/ops/norm/normed.ts";
import { addProduct, type Factor, gatedProduct, products } from "../src/ops/products/index.ts";
import type { PackedFormat } from "../src/tensor/packing.ts";
import { Random } from "../src/tensor/random.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { packed } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

// Several products of a few rows in one launch: sizes and formats that the law of products does not draw.
const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

/** Weights of a launch by format, "plain" as float32 numbers, rows of the result first ("across") or last ("down"). */
const cases: readonly (readonly [formats: readonly (PackedFormat | "plain")[], way: "across" | "down"])[] = [
  [["Q4_K", "Q4_K", "Q6_K"], "across"],
  [["Q8_0", "F16"], "across"],
  [["Q4_1", "F8_E4M3"], "across"],
  [["plain", "plain", "plain", "plain"], "across"],
  [["plain", "plain", "plain"], "down"],
  [["BF16", "Q4_0"], "down"],
];

const depth = 256;
const widths = [1028, 64, 12, 4];

if (typeof gpu === "string") test.skip(`several products on WebGPU, since ${gpu}`, () => {});
else
  describe.each(long ? cases : cases.filter((_, i) => i === 0 || i === 4))(
    "products with %s weights, %s, on WebGPU",
    (formats, way) => {
      test.each(long ? [1, 3, 8] : [3])("%i rows: those of float64, in one launch", (rows) =>
        openScope(gpu, async () => {
          const random = new Random(rows);
          const x = Float32Array.from(random.normals(rows * depth, 1));
          const gain = Float32Array.from(random.normals(depth, 0.3).map((g) => 1 + g));
          const xs = tensor(gpu, [rows, depth], x);
          const normed = () => Normed.of(xs, tensor(gpu, [depth], gain), 1e-5);
          const list = await Promise.all(
            formats.map(async (format, i) => {
              const w = widths[i]!;
              const weight = await weightOf(format, way, w, random);
              const bias = i === 1 ? Float32Array.from(random.normals(w, 1)) : undefined;
              const spec = way === "across" ? "t d, w d -> t w" : "t d, d w -> t w";
              const factor: Factor = [spec, weight.t, bias && tensor(gpu, [w], bias)];
              return { factor, numbers: weight.numbers, w, bias };
            }),
          );
          // By definition.
          const scaled = Float64Array.from(x);
          for (let r = 0; r < rows; r++) {
            const row = x.subarray(r * depth, (r + 1) * depth);
            const by = 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / depth + 1e-5);
            for (let k = 0; k < depth; k++) scaled[r * depth + k]! *= by * gain[k]!;
          }
          const expected = (from: ArrayLike<number>, { numbers, w, bias }: (typeof list)[number]) => {
            const [sum, size] = [new Float64Array(rows * w), new Float64Array(rows * w)];
            for (let i = 0; i < rows * w; i++) {
              const [r, c] = [Math.floor(i / w), i % w];
              sum[i] = bias?.[c] ?? 0;
              size[i] = Math.abs(sum[i]!);
              for (let k = 0; k < depth; k++) {
                const term = from[r * depth + k]! * numbers[way === "across" ? c * depth + k : k * w + c]!;
                sum[i]! += term;
                size[i]! += Math.abs(term);
              }
            }
            return { sum, size };
          };
          // Numbers above a minimum, the norm, products and the sum as it grows: each rounded, by far less than this in all.
          const near = async (got: Tensor, { sum, size }: ReturnType<typeof expected>, what: string) => {
            const found = await got.read();
            for (let i = 0; i < sum.length; i++)
              if (!(Math.abs(found[i]! - sum[i]!) <= 100 * 2 ** -24 * size[i]! + 1e-7))
                expect(found[i], `${what} ${i}, of ${size[i]}`).toBe(sum[i]);
          };
          const factors = list.map(({ factor }) => factor);
          const { launches } = gpu.counts;
          const outs = products(normed(), ...factors);
          expect(gpu.counts.launches - launches).toBe(1);
          for (const [i, out] of outs.entries()) await near(out, expected(scaled, list[i]!), `normed, ${formats[i]}`);
          for (const [i, out] of products(xs, ...factors).entries())
            await near(out, expected(x, list[i]!), `${formats[i]}`);
          const [a, b] = [list[0]!, { ...list[0]!, bias: undefined }];
          const gated = gatedProduct(normed(), a.factor, [b.factor[0], b.factor[1]]);
          const [ya, yb] = [expected(scaled, a), expected(scaled, b)];
          const silu = (y: number) => y / (1 + Math.exp(-y));
          const gatedSum = ya.sum.map((y, i) => silu(y) * yb.sum[i]!);
          const gatedSize = ya.size.map((y, i) => 1.1 * y * Math.abs(yb.sum[i]!) + Math.abs(ya.sum[i]!) * yb.size[i]!);
          await near(gated, { sum: gatedSum, size: gatedSize }, "gated");
          const last = list.at(-1)!;
          const into = Float32Array.from(random.normals(rows * last.w, 1));
          const added = addProduct(xs, last.factor, { into: tensor(gpu, [rows, last.w], into), by: -0.5 });
          const { sum, size } = expected(x, last);
          await near(added, { sum: sum.map((y, i) => into[i]! - 0.5 * y), size: size.map((y) => y + 1) }, "added");
        }),
      );
    },
  );

async function weightOf(format: PackedFormat | "plain", way: "across" | "down", w: number, random: Random) {
  const shape = way === "across" ? [w, depth] : [depth, w];
  if (format === "plain") {
    const numbers = Float32Array.from(random.normals(w * depth, 0.1));
    return { t: tensor(gpu as never, shape, numbers), numbers };
  }
  const letters = way === "across" ? ["w", "d"] : ["d", "w"];
  const order = way === "across" ? "w | d" : "d | w";
  return packed(gpu as never, format, letters, { spec: "", order, sizes: { w, d: depth } }, random);
}

const half = typeof gpu !== "string" && gpu.traits.f16 ? await openGpu({ products: "f16" }) : "an adapter without f16";
afterAll(() => {
  if (typeof half !== "string") half.close();
});
if (typeof half === "string") test.skip(`products in 16 bits on WebGPU, since ${half}`, () => {});
else
  test.each(["Q8_0", "F16", "Q6_K"] as const)("products in 16 bits with %s weights are near those in 32", (format) =>
    openScope(half, async () => {
      const random = new Random(2);
      const { t, numbers } = await packed(
        half,
        format,
        ["w", "d"],
        { spec: "", order: "w | d", sizes: { w: 20, d: depth } },
        random,
      );
      const x = Float32Array.from(random.normals(2 * depth, 1));
      const xs = tensor(half, [2, depth], x);
      const [one, other] = products(xs, ["t d, w d -> t w", t], ["t d, w d -> t w", t]);
      const [a, b, c] = [await one.read(), await other.read(), await einsum("t d, w d -> t w", xs, t).read()];
      let worst = 0;
      for (let i = 0; i < a.length; i++) {
        let [sum, size] = [0, 0];
        for (let k = 0; k < depth; k++) {
          const term = x[Math.floor(i / 20) * depth + k]! * numbers[(i % 20) * depth + k]!;
          sum += term;
          size += Math.abs(term);
        }
        // Each number, product and sum of four to 11 bits.
        for (const y of [a[i]!, b[i]!, c[i]!]) expect(Math.abs(y - sum)).toBeLessThan(4 * 2 ** -11 * size);
        worst = Math.max(worst, Math.abs(a[i]! - sum) / size);
      }
      // In 32 bits they would be far nearer.
      expect(worst).toBeGreaterThan(2 ** -22);
    }),
  );
