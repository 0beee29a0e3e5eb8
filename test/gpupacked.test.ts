import { afterAll, describe, expect, test } from "vitest";
import type { WebgpuDevice } from "../src/device/webgpu.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { type PackedFormat, rowBytes } from "../src/tensor/packing.ts";
import { Random } from "../src/tensor/random.ts";
import { packedTensor, scope, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { axes, cases, exact, formats, packed, raised } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

/**
 * Every case in the format of most parts; of the others what reads along rows and across them. A software GPU compiles a shader for half a
 * second: by default a few products, and of each format the rows by number, whose shader unpacks as those of products do.
 */
const some = new Set(["projection", "absorbed keys, latent along the row"]);
const usual = new Set(["Q8_0", "Q4_1", "F16"]);
const every = formats.flatMap((format) =>
  cases
    .filter(({ what }) => some.has(what) || (long && format === "Q6_K"))
    .filter(({ what }) => long || format === "Q6_K" || (usual.has(format) && what === "projection"))
    .map((shape) => ({ format, ...shape })),
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

    test.each(formats)("%s, rows by number, some at a time where a binding is short", (format) =>
      openScope(gpu, async () => {
        const shape = { spec: "", order: "w | d", sizes: { w: 11, d: 256 } };
        const { t, numbers } = await packed(gpu, format, ["w", "d"], shape, new Random(3));
        const ids = Int32Array.of(3, 10, 0, 3, 9);
        const [whole, cut] = [gather(t, ids), withBinding(4096, () => gather(t, ids))];
        const got = await whole.read();
        for (let i = 0; i < ids.length; i++)
          for (let j = 0; j < 256; j++) {
            const x = numbers[ids[i]! * 256 + j]!;
            const slack = raised.has(format) ? 2 : Math.abs(x);
            expect(Math.abs(got[i * 256 + j]! - x)).toBeLessThanOrEqual(2 ** -22 * slack);
          }
        expect([...(await cut.read())]).toEqual([...got]);
      }),
    );

    test.each<[format: PackedFormat, what: string, poke: (bytes: DataView) => void, expected: number]>([
      ["F16", "an infinity", (v) => v.setUint16(2 * 70, 0x7c00, true), Number.POSITIVE_INFINITY],
      ["F16", "no number", (v) => v.setUint16(2 * 70, 0x7e00, true), Number.NaN],
      ["BF16", "an infinity", (v) => v.setUint16(2 * 70, 0xff80, true), Number.NEGATIVE_INFINITY],
      ["F8_E4M3", "no number", (v) => v.setUint8(70, 0x7f), Number.NaN],
      ["Q8_0", "-128", (v) => [v.setUint16(34 * 2, 0x3800, true), v.setInt8(34 * 2 + 2 + 6, -128)], -64],
      ["Q4_1", "a minimum that is no number", (v) => v.setUint16(20 * 2 + 2, 0x7e00, true), Number.NaN],
    ])("%s may hold %s", (format, _what, poke, expected) =>
      openScope(gpu, async () => {
        const bytes = new Uint8Array(rowBytes(format, 256));
        poke(new DataView(bytes.buffer));
        const t = packedTensor(gpu, [1, 256], { format, rows: [0], columns: [1] });
        const read = async (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length));
        await pack(t, { at: Int32Array.of(0), scales: new Float32Array(2).fill(1), read });
        expect((await gather(t, Int32Array.of(0)).read())[70]).toBe(expected);
      }),
    );

    test("weights longer than a binding are gone through in parts", () =>
      openScope(gpu, async () => {
        const random = new Random(13);
        const shape = { spec: "", order: "w | d", sizes: { w: 50, d: 64 } };
        const { t: b } = await packed(gpu, "Q8_0", ["w", "d"], shape, random);
        const plain = tensor(gpu, [50, 64], random.normals(3200, 1));
        for (const rows of long ? [2, 40] : [2]) {
          const a = tensor(gpu, [rows, 64], random.normals(rows * 64, 1));
          const g = tensor(gpu, [rows, 50], random.normals(rows * 50, 1));
          // Over rows of the weight that are columns of the result, and over rows that are summed.
          const run = () => [
            einsum("t d, w d -> t w", a, b),
            einsum("t w, w d -> t d", g, b),
            einsum("t w, w d -> t d", g, plain),
          ];
          const [whole, cut] = [run(), withBinding(1024, run)];
          for (const [i, one] of whole.entries()) {
            const [x, y] = [await one.read(), await cut[i]!.read()];
            for (let j = 0; j < x.length; j++) expect(Math.abs(x[j]! - y[j]!)).toBeLessThan(1e-4);
          }
        }
      }));
  });

  /** What `body` gives on a device whose bindings hold no more than so many bytes. */
  function withBinding<T>(bytes: number, body: () => T): T {
    const { traits } = gpu as WebgpuDevice;
    const { binding } = traits;
    Object.assign(traits, { binding: bytes });
    try {
      return body();
    } finally {
      Object.assign(traits, { binding });
    }
  }
}
