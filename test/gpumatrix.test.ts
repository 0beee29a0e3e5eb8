import { afterAll, describe, expect, test } from "vitest";
import type { Traits } from "../src/device/gpu/adapter.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { WebgpuDevice } from "../src/device/webgpu.ts";
import { cases } from "../src/ops/attend/cases.ts";
import { attendReference } from "../src/ops/attend/reference.ts";
import { type AttendCase, runCase } from "../src/ops/attend/trial.ts";
import { attendWebgpu } from "../src/ops/attend/webgpu.ts";
import { einsum, einsumInto } from "../src/ops/einsum/index.ts";
import { splitOf } from "../src/ops/einsum/matrix.wgsl.ts";
import { contractEach, group } from "../src/ops/expert/index.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { openGpu } from "./fixture/gpu.ts";
import { axes, exact, packed } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

// Contractions and attention by subgroup matrices, whose operands are rounded to 16 bits where the adapter has these alone.
const opened = await openGpu({ hardware: true, products: "f16" });
afterAll(() => {
  if (typeof opened !== "string") opened.close();
});

test("a tile is shared by subgroups of any size, and not by those whose matrices do not fill their part", () => {
  const split = (m: number, n: number, k: number, most: number) =>
    splitOf({ matrix: { m, n, k, type: "f16" }, subgroup: { least: 4, most } });
  expect(split(8, 8, 8, 8)).toEqual({ THREADS: 128, DOWN: 4, ACROSS: 4 });
  expect(split(16, 16, 16, 32)).toEqual({ THREADS: 128, DOWN: 2, ACROSS: 2 });
  expect(split(16, 16, 16, 64)).toEqual({ THREADS: 256, DOWN: 2, ACROSS: 2 });
  expect(split(8, 16, 16, 16)).toEqual({ THREADS: 128, DOWN: 2, ACROSS: 4 });
  expect(split(32, 8, 16, 8)).toEqual({ THREADS: 128, DOWN: 2, ACROSS: 8 });
  expect(split(64, 64, 16, 8)).toBeUndefined();
  expect(split(8, 8, 32, 8)).toBeUndefined();
});

/** One for each order of axes, of which some have neighbours along the sum and some not; sums of two axes; parts of a sum. */
const products = [
  { spec: "m k, n k -> m n", sizes: { m: 70, n: 33, k: 20 } },
  { spec: "m k, n k -> m n", sizes: { m: 17, n: 130, k: 5 } },
  { spec: "m k, k n -> m n", sizes: { m: 65, n: 129, k: 37 } },
  { spec: "k m, k n -> m n", sizes: { m: 64, n: 64, k: 64 } },
  { spec: "k m, k n -> m n", sizes: { m: 40, n: 70, k: 1100 } },
  { spec: "b m k, b n k -> b m n", sizes: { m: 66, n: 35, k: 18, b: 3 } },
  { spec: "k b m, b k n -> m b n", sizes: { m: 31, n: 50, k: 16, b: 2 } },
  { spec: "m k b, n k b -> m n", sizes: { m: 33, n: 65, k: 7, b: 3 } },
] as const;

function why(gpu: WebgpuDevice | string): string | undefined {
  if (typeof gpu === "string") return gpu;
  const { matrix, subgroup, name } = gpu.traits;
  if (!matrix) return "the adapter has none that add up in float32";
  if (name.startsWith("llvmpipe") && subgroup!.most > 8)
    return "lavapipe (26.1.6) crashes where its subgroups are of 16";
  return undefined;
}

const [found, reason] = [opened, why(opened)];
if (typeof found === "string" || reason) test.skip(`subgroup matrices on WebGPU, since ${reason}`, () => {});
else {
  const gpu = found;
  const { type } = gpu.traits.matrix as NonNullable<Traits["matrix"]>;
  const half = type === "f16";
  /** Bound of a sum of `terms` products, whose magnitudes add up to `size` and whose factors to `factors`: each rounded, and the sum as it grows. */
  const bound = (terms: number, size: number, factors: number) =>
    half ? (2 ** -10 + (terms + 4) * 2 ** -23) * size + 2 ** -24 * factors : (terms + 4) * 2 ** -23 * size;
  /** Numbers of which none is too small for 16 bits, so that what these take away is a share of each. */
  const draw = (random: Random, n: number) => Float32Array.from(random.normals(n, 1));

  describe(`products by subgroup matrices of ${type}`, () => {
    test.each(products)("$spec $sizes", ({ spec, sizes }) =>
      openScope(gpu, async () => {
        const random = new Random(3);
        const [left, right] = spec.split("->") as [string, string];
        const [la, lb] = left.split(",").map(axes) as [string[], string[]];
        const shape = (letters: readonly string[]) => letters.map((l) => (sizes as Record<string, number>)[l]!);
        const [a, b, c] = [la, lb, axes(right)].map((letters) => draw(random, sizeOf(shape(letters))));
        const { sum, bound: size } = exact(spec, sizes, a!, b!);
        const [x, y] = [tensor(gpu, shape(la), a!), tensor(gpu, shape(lb), b!)];
        const got = await einsum(spec, x, y).read();
        const added = await einsumInto(spec, x, y, shape(axes(right)), tensor(gpu, shape(axes(right)), c!)).read();
        const terms = sizeOf(la.filter((l) => lb.includes(l) && !axes(right).includes(l)).map((l) => sizes[l as "m"]));
        let far = 0;
        sum.forEach((want, i) => {
          // No factor is larger than 6.
          const most = bound(terms, size[i]!, 12 * terms);
          expect(Math.abs(got[i]! - want), `${i}`).toBeLessThanOrEqual(most);
          expect(Math.abs(added[i]! - want - c![i]!), `${i}`).toBeLessThanOrEqual(most + 2 ** -23 * Math.abs(c![i]!));
          far = Math.max(far, Math.abs(got[i]! - want) / size[i]!);
        });
        // In 32 bits they would be far nearer.
        if (half) expect(far).toBeGreaterThan(2 ** -16);
      }),
    );

    test.each(["Q8_0", "Q4_1", "BF16", "Q6_K"] as const)("with a weight in %s", (format) =>
      openScope(gpu, async () => {
        const random = new Random(5);
        const [m, w, d] = [21, 37, 256];
        const { t, numbers } = await packed(
          gpu,
          format,
          ["w", "d"],
          { spec: "", order: "w | d", sizes: { w, d } },
          random,
        );
        const x = draw(random, m * d);
        const got = await einsum("m d, w d -> m w", tensor(gpu, [m, d], x), t).read();
        const { sum, bound: size } = exact("m d, w d -> m w", { m, w, d }, x, numbers);
        const factors = d * (6 + numbers.reduce((most, y) => Math.max(most, Math.abs(y)), 0));
        for (const [i, want] of sum.entries())
          expect(Math.abs(got[i]! - want), `${i}`).toBeLessThanOrEqual(bound(d, size[i]!, factors));
      }),
    );

    test("of experts, whose entries end anywhere", () =>
      openScope(gpu, async () => {
        const random = new Random(5);
        const [tokens, experts, perToken, a, b] = [150, 5, 3, 33, 70];
        const weights = new Float32Array(tokens * experts);
        for (let i = 0; i < tokens * perToken; i++) weights[(i % tokens) * experts + random.integer(experts - 1)] = 0.5;
        const [x, w] = [draw(random, tokens * perToken * a), draw(random, experts * a * b)];
        const on = async (device: Device, of = (y: number) => y) => {
          const visits = group(tensor(device, [tokens, experts], weights), perToken);
          const out = contractEach(
            tensor(device, [tokens * perToken, a], x.map(of)),
            tensor(device, [experts, a, b], w.map(of)),
            visits,
          );
          return [await visits.ends.read(), await out.read()] as const;
        };
        const [[ends, want], [, got]] = [await on(new ReferenceDevice()), await on(gpu)];
        const [, size] = await on(new ReferenceDevice(), Math.abs);
        const entries = ends.at(-1)!;
        expect(entries).toBeGreaterThan(64);
        for (let i = 0; i < entries * b; i++)
          expect(Math.abs(got[i]! - want[i]!), `${i}`).toBeLessThanOrEqual(bound(a, size[i]!, 12 * a));
        // Nothing is written behind the last entry: unset memory is NaN.
        for (let i = entries * b; i < got.length; i++) expect(got[i]).toBeNaN();
      }));
  });

  // Numbers that 16 bits hold, whose products are exact in 32: of all that is rounded, weights alone are rounded to 16.
  const coarse = (x: number) => Math.round(Math.max(-4, Math.min(4, x)) * 64) / 64;
  const divisor = (a: number, b: number): number => (b ? divisor(b, a % b) : a);
  const foldedOf = ({ h, terms, values }: AttendCase) =>
    [...terms, ...values.flatMap((v) => ("key" in v ? [] : [v]))].reduce((m, { g }) => divisor(m, h / g), 0);
  const wideOf = ({ terms, values }: AttendCase) =>
    values.reduce((sum, v) => sum + ("key" in v ? terms[v.key]!.e : v.e), 0);
  const many = cases.filter((c) => !c.stick && c.t * foldedOf(c) >= 32 && c.s >= 32 && wideOf(c) < 256);

  describe(`attention by subgroup matrices of ${type}`, () => {
    test("is tried with masks, groups and widths that fill no matrix", () => expect(many.length).toBeGreaterThan(10));

    test.each(many.map((c) => [c.name, c] as const))("%s", async (_, c) => {
      const want = await runCase(new ReferenceDevice(), c, 7, [attendReference, () => {}], coarse);
      const got = await runCase(gpu, c, 7, [attendWebgpu, () => {}], coarse);
      const far = (what: "out" | "lse") =>
        Array.from(want[what]).reduce((most, x, i) => {
          const error = x === got[what][i] ? 0 : Math.abs(x - got[what][i]!);
          return Math.max(most, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
        }, 0);
      expect(far("lse")).toBeLessThan(c.tolerance.lse);
      // A weight is off by 2^-11 of itself, or where it is too small by 2^-25 of the largest.
      expect(far("out")).toBeLessThan(c.tolerance.out + (half ? 4 * (2 ** -11 + c.s * 2 ** -25) : 0));
      // In 32 bits it would be nearer, but where one key is seen, whose weight is 1.
      if (half && c.window !== 1) expect(far("out")).toBeGreaterThan(c.tolerance.out);
    });
  });

  test("they are left where they are to be done without, and 16 bits where nobody asked for them", async () => {
    const without = await openGpu({ products: "f16", without: ["chromium-experimental-subgroup-matrix"] });
    const plain = await openGpu();
    if (typeof without === "string" || typeof plain === "string") throw new Error("got no second device");
    expect(without.traits.matrix).toBeUndefined();
    if (half) expect(plain.traits.matrix).toBeUndefined();
    else expect(plain.traits.matrix).toMatchObject({ type: "f32" });
    without.close();
    plain.close();
  });
}
