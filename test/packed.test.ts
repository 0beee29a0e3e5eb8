import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WasmDevice } from "../src/device/wasm.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { rmsNorm } from "../src/ops/norm/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { MOST } from "../src/ops/packed/size.ts";
import { productsOf } from "../src/ops/products/index.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { type PackedFormat, rowBytes } from "../src/tensor/packing.ts";
import { Random } from "../src/tensor/random.ts";
import { packedTensor, sizeOf, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { axes, cases, exact, firstAlong, formats, onto, raised, type Shape, weightOf } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

/** Where activations are rounded to whole numbers; kernels keep MOST rows of them at once. */
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

const builds = ["simd", "relaxed", "wide"] as const;
const open = (build: (typeof builds)[number], dots?: boolean) =>
  WasmDevice.open({ build, threads: 2, poison: true, dots });
const devices = await Promise.all(builds.map((build) => open(build)));
/** The same two ways of multiplying bytes; of all sizes only where the machine can. */
const otherwise = await Promise.all(devices.slice(1).map(({ build, dots }) => open(build, !dots)));
afterAll(() => {
  for (const device of [...devices, ...otherwise]) device.close();
});

describe.each(formats)("weights packed as %s, in every build", (format) => {
  test.each(cases)("$what: $spec", async ({ along, ...shape }) => {
    const random = new Random(7);
    const [la, lb] = shape.spec.split("->")[0]!.split(",").map(axes) as [string[], string[]];
    const rows = la[0] === "x" ? "t" : la[0]!;
    const weight = weightOf(format, lb, shape, random);
    const { numbers } = weight;
    const span = numbers.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    const weights = await Promise.all(devices.map((device) => onto(device, weight)));
    // What is exact is so for every build and beside any other rows: it is summed once, for the most.
    const sizes = { ...shape.sizes, [rows]: MOST + 1 };
    const all = Float32Array.from(random.normals(sizeOf(la.map((l) => sizes[l]!)), 1));
    const few = along && whole.has(format);
    const { values, steps } = few ? rounded(all) : { values: all, steps: all };
    const of = exact(shape.spec, sizes, values, numbers);
    const ofPlain = few && exact(shape.spec, sizes, all, numbers).sum;
    const ofMost = few && exact(shape.spec, sizes, steps, numbers.map(Math.abs)).sum;
    const out = axes(shape.spec.split("->")[1]!);
    for (const n of [1, 2, 5, 8, 9, 17, MOST, MOST + 1]) {
      const form = la.map((l) => (l === rows ? n : sizes[l]!));
      const a = firstAlong(rows, n, la, sizes, all);
      const [sum, bound, plain, most] = [of.sum, of.bound, ofPlain, ofMost].map(
        (numbers) => numbers && firstAlong(rows, n, out, sizes, numbers),
      ) as [Float64Array, Float64Array, ...Float64Array[]];
      // Each product rounded, and the sum as it grows (see law/rounding.ts); what stands above a minimum is a sum of two.
      const k = 8 + 2 * Math.sqrt(sizeOf([...new Set(la)].filter((l) => lb.includes(l)).map((l) => sizes[l]!)));
      for (const [i, device] of devices.entries()) {
        const what = `${n} rows, ${device.build} build`;
        const input = tensor(device, form, a);
        const output = einsum(shape.spec, input, weights[i]!);
        const got = await output.read();
        for (const t of [input, output]) t.free();
        const slack = raised.has(format) ? 30 * span : 0;
        expect(
          worstOf(got, sum, (i) => bound[i]! + slack + 1e-30),
          what,
        ).toBeLessThan(k * 2 ** -24);
        // And no further from exact activations than half a step each.
        if (plain && most)
          expect(
            worstOf(got, plain, (i) => 1.01 * most[i]! + 1e-6),
            what,
          ).toBeLessThan(1);
      }
    }
    for (const t of weights) t.free();
  });

  test.runIf(whole.has(format))(
    "a row's sums are the same bits beside any others, however bytes are multiplied",
    async () => {
      const random = new Random(5);
      // Half a super-block more than one where blocks are of 32, and panels that fill no tile.
      const d = ["Q4_K", "Q6_K"].includes(format) ? 512 : 352;
      const shape: Shape = { spec: "t d, w d -> t w", order: "w | d", sizes: { w: 23, d } };
      const weight = weightOf(format, ["w", "d"], shape, random);
      const rows = 2 * MOST + 6;
      const a = random.normals(rows * d, 1);
      // Of all builds that round products and sums once.
      let once: number[][] | undefined;
      for (const device of [...devices, ...otherwise.filter(({ dots }) => !dots || format !== "Q8_0")])
        await openScope(device, async () => {
          const b = await onto(device, weight);
          const alone: number[][] = [];
          for (let i = 0; i < rows; i++) {
            const row = tensor(device, [1, d], a.slice(i * d, (i + 1) * d));
            alone.push([...(await einsum(shape.spec, row, b).read())]);
          }
          if (device.build !== "simd") once ??= alone;
          if (device.build !== "simd") expect(alone, `${device.build}, ${device.dots}`).toEqual(once);
          for (const n of [2, 3, 4, 5, 7, 18, MOST, MOST + 1, rows]) {
            const got = await einsum(shape.spec, tensor(device, [n, d], a.slice(0, n * d)), b).read();
            expect([...got], `${device.build}, ${device.dots}`).toEqual(alone.slice(0, n).flat());
          }
        });
    },
  );

  test("what a thread's room holds of other activations counts nothing", async () => {
    const random = new Random(13);
    const block = whole.has(format) ? 32 : 4;
    const weights = [3 * block, 256].map((d) => {
      const size = ["Q4_K", "Q6_K"].includes(format) ? 256 : d;
      return weightOf(format, ["w", "d"], { spec: "", order: "w | d", sizes: { w: 9, d: size } }, random);
    });
    for (const device of [...devices, ...otherwise])
      await openScope(device, async () => {
        const [narrow, wide] = (await Promise.all(weights.map((weight) => onto(device, weight)))) as [Tensor, Tensor];
        const d = narrow.shape[1]!;
        const row = tensor(device, [1, d], new Random(17).normals(d, 1));
        const before = [...(await einsum("t d, w d -> t w", row, narrow).read())];
        const none = tensor(device, [8, 256], new Float32Array(8 * 256).fill(Number.NaN));
        for (const n of [1, 8])
          einsum("t d, w d -> t w", tensor(device, [n, 256], (await none.read()).slice(0, n * 256)), wide).free();
        expect([...(await einsum("t d, w d -> t w", row, narrow).read())]).toEqual(before);
        expect(before.every(Number.isFinite)).toBe(true);
      });
  });

  test("products of one launch are the bits of each alone, of one input and of several", async () => {
    const random = new Random(11);
    const d = ["Q4_K", "Q6_K"].includes(format) ? 512 : 352;
    const weights = [23, 40, 9].map((w) =>
      weightOf(format, ["d", "w"], { spec: "", order: "w | d", sizes: { w, d } }, random),
    );
    for (const n of [1, 5])
      for (const device of devices)
        await openScope(device, async () => {
          const [x, y] = [1, 2].map(() => tensor(device, [n, d], random.normals(n * d, 1)));
          const list = await Promise.all(weights.map((weight) => onto(device, weight)));
          const asked = [x!, x!, y!, x!].map((a, i) => ({ x: a, of: ["t d, d w -> t w", list[i % 3]!] as const }));
          const launch = vi.spyOn(device, "launch");
          const got = productsOf(...asked.map(({ x: a, of }) => ({ x: a, of: [of] as const })));
          const launches = launch.mock.calls.length;
          launch.mockRestore();
          for (const [i, { x: a, of }] of asked.entries())
            expect([...(await got[i]!.read())], `${device.build}, ${n} rows`).toEqual([
              ...(await einsum(of[0], a, of[1]).read()),
            ]);
          // Plain rows and tiles have a launch each.
          const apart = format === "F32" || (n > 1 && whole.has(format));
          expect(launches, `${device.build}, ${n} rows`).toBe(apart ? asked.length : 1);
        });
  });

  test("rows by number", async () => {
    const shape: Shape = { spec: "", order: "w | d", sizes: { w: 11, d: 256 } };
    const weight = weightOf(format, ["w", "d"], shape, new Random(3));
    const ids = Int32Array.of(3, 10, 0, 3, 9);
    const expected = Float64Array.from({ length: 256 * ids.length }, (_, i) => {
      return weight.numbers[ids[Math.floor(i / 256)]! * 256 + (i % 256)]!;
    });
    for (const device of devices)
      await openScope(device, async () => {
        const got = await gather(await onto(device, weight), ids).read();
        const limit = (i: number) => 2 ** -22 * (raised.has(format) ? 2 : Math.abs(expected[i]!));
        expect(
          expected.findIndex((x, i) => !(Math.abs(got[i]! - x) <= limit(i))),
          device.build,
        ).toBe(-1);
      });
  });
});

/** The largest difference of two lists in units of what is allowed at each place; NaN is the largest. */
function worstOf(got: ArrayLike<number>, expected: Float64Array, allowed: (i: number) => number): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const ratio = Math.abs(got[i]! - expected[i]!) / allowed(i);
    worst = Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : Math.max(worst, ratio);
  }
  return worst;
}

describe("packed weights", () => {
  let crews: WasmDevice[] = [];
  beforeAll(async () => {
    crews = await Promise.all([1, 2, 3].map((threads) => WasmDevice.open({ threads })));
  });
  afterAll(() => {
    for (const device of crews) device.close();
  });

  test.each(formats)("give the same bits on any number of threads: %s", async (format) => {
    const results: Float32Array[][] = [];
    const shape: Shape = { spec: "t d, d h n -> t h n", order: "h n | d", sizes: { d: 512, h: 3, n: 52 } };
    const weight = weightOf(format, ["d", "h", "n"], shape, new Random(11));
    for (const device of crews) {
      const b = await onto(device, weight);
      const random = new Random(12);
      const results1: Float32Array[] = [];
      for (const n of [1, 4, 40]) {
        const a = tensor(device, [n, 512], random.normals(n * 512, 1));
        results1.push((await einsum(shape.spec, a, b).read()) as Float32Array);
        // The way back: sums over rows, each in one order.
        const g = tensor(device, [n, 3, 52], random.normals(n * 156, 1));
        results1.push((await einsum("t h n, d h n -> t h d", g, b).read()) as Float32Array);
      }
      results.push(results1);
    }
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
  });

  test("one whose reading fails while the rows before are packed gives all back, once nothing is under way", async () => {
    const device = crews[1]!;
    const before = device.liveBytes;
    const packing = { format: "F16", rows: [0], columns: [1] } as const;
    const t = packedTensor(device, [3000, 512], packing);
    const at = Int32Array.from({ length: 3000 }, (_, i) => i);
    let [reads, under] = [0, 0];
    const read = async (_: number, into: Uint8Array) => {
      under++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      into.fill(60);
      under--;
      if (++reads === 2) throw new Error("gone");
    };
    await expect(pack(t, { read, at })).rejects.toThrow("gone");
    expect([reads, under]).toEqual([2, 0]);
    t.free();
    // The same where packing fails and the next rows are still coming.
    const other = packedTensor(device, [3000, 512], packing);
    const launch = vi.spyOn(device, "launch").mockImplementation(() => {
      throw new Error("trapped");
    });
    reads = 2;
    await expect(pack(other, { read, at })).rejects.toThrow("trapped");
    launch.mockRestore();
    expect([reads, under]).toEqual([4, 0]);
    other.free();
    expect(device.liveBytes).toBe(before);
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
    const device = crews[0]!;
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
