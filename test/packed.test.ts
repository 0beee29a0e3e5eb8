import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WasmDevice } from "../src/device/wasm.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { rmsNorm } from "../src/ops/norm/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { type PackedFormat, rowBytes } from "../src/tensor/packing.ts";
import { Random } from "../src/tensor/random.ts";
import { packedTensor, scope, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { axes, cases, exact, formats, packed, raised, type Shape } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

/** Where activations are rounded to whole numbers for up to 16 rows. */
const whole = new Set<PackedFormat>(["Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"]);

/** What the kernels make of activations that are summed along blocks of 32: x = d q, both rounded. */
function rounded(x: Float32Array): { values: Float64Array; steps: Float64Array } {
  const [values, steps] = [new Float64Array(x.length), new Float64Array(x.length)];
  for (let i = 0; i < x.length; i += 32) {
    const block = x.subarray(i, i + 32);
    const most = block.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    const [d, by] = [Math.fround(most / 127), Math.fround(127 / most)];
    block.forEach((v, j) => {
      const y = Math.fround(v * by);
      const below = Math.floor(y);
      const q = y - below < 0.5 || (y - below === 0.5 && below % 2 === 0) ? below : below + 1;
      values[i + j] = q * d;
      steps[i + j] = d / 2;
    });
  }
  return { values, steps };
}

describe.each(["simd", "relaxed", "wide"] as const)("packed weights, %s build", (build) => {
  let device: WasmDevice;
  beforeAll(async () => {
    device = await WasmDevice.open({ build, threads: 2, poison: true });
  });
  afterAll(() => device.close());

  describe.each(formats)("%s", (format) => {
    test.each(cases)("$what: $spec", async ({ along, ...shape }) => {
      const random = new Random(7);
      const [la, lb] = shape.spec.split("->")[0]!.split(",").map(axes) as [string[], string[]];
      const rows = la[0] === "x" ? "t" : la[0]!;
      await openScope(device, async () => {
        const { t: b, numbers } = await packed(device, format, lb, shape, random);
        for (const n of [1, 2, 5, 8, 9, 16, 17]) {
          const sizes = { ...shape.sizes, [rows]: n };
          const a = Float32Array.from(random.normals(sizeOf(la.map((l) => sizes[l]!)), 1));
          const got = await scope(device, () =>
            einsum(
              shape.spec,
              tensor(
                device,
                la.map((l) => sizes[l]!),
                a,
              ),
              b,
            ),
          ).read();
          const few = along && whole.has(format) && n <= 16;
          const { values, steps } = few ? rounded(a) : { values: a, steps: a };
          const { sum, bound } = exact(shape.spec, sizes, values, numbers);
          // Each product rounded, and the sum as it grows (see law/rounding.ts); what stands above a minimum is a sum of two.
          const k = 8 + 2 * Math.sqrt(sizeOf([...new Set(la)].filter((l) => lb.includes(l)).map((l) => sizes[l]!)));
          const span = numbers.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
          let worst = 0;
          sum.forEach((x, i) => {
            worst = Math.max(worst, Math.abs(got[i]! - x) / (bound[i]! + (raised.has(format) ? 30 * span : 0) + 1e-30));
          });
          expect(worst, `${n} rows`).toBeLessThan(k * 2 ** -24);
          if (!few) continue;
          // And no further from exact activations than half a step each.
          const plain = exact(shape.spec, sizes, a, numbers).sum;
          const most = exact(shape.spec, sizes, steps, numbers.map(Math.abs)).sum;
          plain.forEach((x, i) => {
            expect(Math.abs(got[i]! - x)).toBeLessThan(1.01 * most[i]! + 1e-6);
          });
        }
      });
    });

    test.runIf(whole.has(format))("a row's sums are the same bits beside any others", async () => {
      const random = new Random(5);
      await openScope(device, async () => {
        // Half a super-block more than one where blocks are of 32, and panels that fill no tile.
        const d = ["Q4_K", "Q6_K"].includes(format) ? 512 : 352;
        const shape: Shape = { spec: "t d, w d -> t w", order: "w | d", sizes: { w: 23, d } };
        const { t: b } = await packed(device, format, ["w", "d"], shape, random);
        const a = random.normals(16 * d, 1);
        const alone: number[][] = [];
        for (let i = 0; i < 16; i++) {
          const row = tensor(device, [1, d], a.slice(i * d, (i + 1) * d));
          alone.push([...(await einsum(shape.spec, row, b).read())]);
        }
        for (const n of [2, 3, 4, 5, 7, 16]) {
          const got = await einsum(shape.spec, tensor(device, [n, d], a.slice(0, n * d)), b).read();
          expect([...got]).toEqual(alone.slice(0, n).flat());
        }
      });
    });

    test("rows by number", async () => {
      const random = new Random(3);
      await openScope(device, async () => {
        const shape: Shape = { spec: "", order: "w | d", sizes: { w: 11, d: 256 } };
        const { t, numbers } = await packed(device, format, ["w", "d"], shape, random);
        const ids = Int32Array.of(3, 10, 0, 3, 9);
        const got = await gather(t, ids).read();
        for (let i = 0; i < ids.length; i++)
          for (let j = 0; j < 256; j++) {
            const x = numbers[ids[i]! * 256 + j]!;
            const slack = raised.has(format) ? 2 : Math.abs(x);
            expect(Math.abs(got[i * 256 + j]! - x)).toBeLessThanOrEqual(2 ** -22 * slack);
          }
      });
    });
  });
});

describe("packed weights", () => {
  test.each(formats)("give the same bits on any number of threads: %s", async (format) => {
    const results: Float32Array[][] = [];
    for (const threads of [1, 2, 3]) {
      const device = await WasmDevice.open({ threads });
      const random = new Random(11);
      const shape: Shape = { spec: "t d, d h n -> t h n", order: "h n | d", sizes: { d: 512, h: 3, n: 52 } };
      const { t: b } = await packed(device, format, ["d", "h", "n"], shape, random);
      const results1: Float32Array[] = [];
      for (const n of [1, 4, 40]) {
        const a = tensor(device, [n, 512], random.normals(n * 512, 1));
        results1.push((await einsum(shape.spec, a, b).read()) as Float32Array);
        // The way back: sums over rows, each in one order.
        const g = tensor(device, [n, 3, 52], random.normals(n * 156, 1));
        results1.push((await einsum("t h n, d h n -> t h d", g, b).read()) as Float32Array);
      }
      results.push(results1);
      device.close();
    }
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
  });

  test.each<[format: PackedFormat, what: string, poke: (bytes: DataView) => void, expected: number]>([
    ["F16", "an infinity", (v) => v.setUint16(2 * 70, 0x7c00, true), Number.POSITIVE_INFINITY],
    ["F16", "no number", (v) => v.setUint16(2 * 70, 0x7e00, true), Number.NaN],
    ["BF16", "an infinity", (v) => v.setUint16(2 * 70, 0xff80, true), Number.NEGATIVE_INFINITY],
    ["F8_E4M3", "no number", (v) => v.setUint8(70, 0x7f), Number.NaN],
    ["Q8_0", "-128", (v) => v.setInt8(34 * 2 + 2 + 6, -128), -128 * 0.5 * -1],
    ["Q8_0", "a scale that is no number", (v) => v.setUint16(34 * 2, 0x7e00, true), Number.NaN],
    ["Q4_1", "a minimum that is no number", (v) => v.setUint16(20 * 2 + 2, 0x7e00, true), Number.NaN],
    ["Q4_0", "an infinite scale", (v) => v.setUint16(18 * 2, 0xfc00, true), Number.NaN],
  ])("of %s may hold %s", async (format, _what, poke, expected) => {
    const device = await WasmDevice.open({ threads: 1 });
    try {
      const bytes = new Uint8Array(4 * rowBytes(format, 256));
      const view = new DataView(bytes.buffer);
      if (format === "Q8_0") for (let at = 0; at < bytes.length; at += 34) view.setFloat16(at, 0.5, true);
      poke(view);
      const t = packedTensor(device, [4, 256], { format, rows: [0], columns: [1] });
      const scales = new Float32Array(2).fill(1);
      const read = async (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length));
      await pack(t, { at: Int32Array.of(0, 1, 2, 3), scales, read });
      for (const n of [1, 3, 17]) {
        // Column 70 alone, and negatively: what a sign turned onto -128 would get wrong.
        const a = Float32Array.from({ length: n * 256 }, (_, i) => (i % 256 === 70 ? -1 : 0));
        const got = await einsum("t d, w d -> t w", tensor(device, [n, 256], a), t).read();
        expect(got[0]).toBe(format === "Q8_0" || Number.isNaN(expected) ? expected : -expected);
      }
    } finally {
      device.close();
    }
  });

  test("are misread by no op that does not know them", async () => {
    const device = await WasmDevice.open({ threads: 1 });
    const t = packedTensor(device, [4, 256], { format: "Q8_0", rows: [0], columns: [1] });
    // As in a file, where 34 bytes hold 32 numbers.
    expect(device.liveBytes).toBe((4 * 256 * 34) / 32);
    expect(() => rmsNorm(t, undefined, 1e-6)).toThrow(/internal: .* is packed as Q8_0/);
    expect(() => t.reshape([1024])).toThrow(/packed/);
    expect(() => t.rows(0, 2)).toThrow(ShapeError);
    expect(() => einsum("w d, d n -> w n", t, tensor(device, [256, 1], new Float32Array(256)))).toThrow(/packed/);
    await expect(pack(t, { at: Int32Array.of(0, 1), read: async () => {} })).rejects.toThrow(/2 rows of a file/);
    device.close();
  });

  test("of whole blocks only", () => {
    expect(() => rowBytes("Q8_0", 33)).toThrow(/multiple of the block 32/);
    expect(() => rowBytes("Q4_K", 128)).toThrow(/multiple of the block 256/);
  });
});
