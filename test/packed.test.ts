import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WasmDevice } from "../src/device/wasm.ts";
import { type Dtype, decode } from "../src/file/dtype.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { rmsNorm } from "../src/ops/norm/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { type PackedFormat, type Packing, rowBytes, SCALED } from "../src/tensor/packing.ts";
import { dequantise, isQuant } from "../src/tensor/quant.ts";
import { Random } from "../src/tensor/random.ts";
import { packedTensor, scope, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { openScope } from "./fixture/scope.ts";

const formats: readonly PackedFormat[] = ["F32", "F16", "BF16", "F8_E4M3", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"];
/** Where activations are rounded to whole numbers for up to 16 rows. */
const whole = new Set<PackedFormat>(["Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"]);

/** Where numbers stand above a minimum. */
const raised = new Set<PackedFormat>(["Q4_1", "Q4_K"]);

/** A matrix as a file holds it, and what its bytes stand for. */
interface Matrix {
  readonly bytes: Uint8Array;
  readonly scales: Float32Array | undefined;
  readonly numbers: Float64Array;
}

/** Random rows of a format. Scales are halves near 0.01, of either sign, some subnormal. */
function matrix(format: PackedFormat, rows: number, columns: number, random: Random): Matrix {
  const size = rowBytes(format, columns);
  const bytes = new Uint8Array(rows * size);
  const view = new DataView(bytes.buffer);
  const numbers = new Float64Array(rows * columns);
  const half = (at: number) => view.setFloat16(at, random.integer(9) ? random.normals(1, 0.01)[0]! : 3e-7, true);
  if (isQuant(format)) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(256);
    const step = { Q8_0: 34, Q4_0: 18, Q4_1: 20, Q4_K: 144, Q6_K: 210 }[format as "Q8_0"];
    for (let at = 0; at < bytes.length; at += step) {
      half(format === "Q6_K" ? at + 208 : at);
      if (raised.has(format)) half(at + 2);
      // The one number that is a case of its own has a test of its own.
      if (format === "Q8_0") for (let i = 2; i < 34; i++) if (bytes[at + i] === 128) bytes[at + i] = 129;
    }
    dequantise(format, bytes, numbers);
    return { bytes, scales: undefined, numbers };
  }
  for (let i = 0; i < numbers.length; i++) {
    const x = random.integer(20) ? random.normals(1, 0.3)[0]! : 1e-6;
    if (format === "F32") view.setFloat32(4 * i, x, true);
    else if (format === "F16") view.setFloat16(2 * i, x, true);
    else if (format === "BF16")
      view.setUint16(2 * i, (random.integer(1 << 15) % 0x4000) | (random.integer(2) << 15), true);
    else view.setUint8(i, random.integer(127) | (random.integer(2) << 7));
  }
  numbers.set(decode(format as Dtype, bytes.slice().buffer, "test") as Float32Array);
  if (format !== "F8_E4M3") return { bytes, scales: undefined, numbers };
  const across = Math.ceil(columns / SCALED);
  const scales = Float32Array.from(random.normals(across * Math.ceil(rows / SCALED), 0.01));
  for (let i = 0; i < numbers.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    numbers[i]! *= scales[Math.floor(row / SCALED) * across + Math.floor(column / SCALED)]!;
  }
  return { bytes, scales, numbers };
}

interface Shape {
  readonly spec: string;
  /** Axes of the weight in the order of storage: rows | columns. */
  readonly order: string;
  readonly sizes: Readonly<Record<string, number>>;
  /** Rows of each block of the file that are wanted, and how many are in front of and behind them. */
  readonly before?: number;
  readonly behind?: number;
}

const axes = (text: string) => text.trim().split(/\s+/).filter(Boolean);

/** A weight packed on the device, and its numbers in the tensor's own order. */
async function packed(
  device: WasmDevice,
  format: PackedFormat,
  letters: readonly string[],
  shape: Shape,
  random: Random,
) {
  const [rows, columns] = shape.order.split("|").map(axes) as [string[], string[]];
  const sizesOf = (list: readonly string[]) => list.map((l) => shape.sizes[l]!);
  const [before, behind] = [shape.before ?? 0, shape.behind ?? 0];
  const kept = shape.sizes[rows.at(-1)!]!;
  const block = before + kept + behind;
  const [groups, width] = [sizeOf(sizesOf(rows.slice(0, -1))), sizeOf(sizesOf(columns))];
  const file = matrix(format, groups * block, width, random);
  const packing: Packing = {
    format,
    rows: rows.map((l) => letters.indexOf(l)),
    columns: columns.map((l) => letters.indexOf(l)),
  };
  const t = packedTensor(device, sizesOf(letters), packing);
  await pack(t, {
    async read(offset, into) {
      expect(offset + into.length).toBeLessThanOrEqual(file.bytes.length);
      into.set(file.bytes.subarray(offset, offset + into.length));
    },
    at: Int32Array.from({ length: groups * kept }, (_, i) => Math.floor(i / kept) * block + before + (i % kept)),
    ...(file.scales ? { scales: file.scales } : {}),
  });
  const stored = [...rows, ...columns];
  const numbers = new Float64Array(t.size);
  const index = new Map<string, number>();
  for (let i = 0; i < t.size; i++) {
    let rest = i;
    for (const l of letters.toReversed()) {
      index.set(l, rest % shape.sizes[l]!);
      rest = Math.floor(rest / shape.sizes[l]!);
    }
    let at = 0;
    for (const l of stored) at = at * shape.sizes[l]! + index.get(l)!;
    const row = Math.floor(at / width);
    const fileRow = Math.floor(row / kept) * block + before + (row % kept);
    numbers[i] = file.numbers[fileRow * width + (at % width)]!;
  }
  return { t, numbers };
}

/** The contraction and the sum of its products' sizes, in float64. */
function exact(spec: string, sizes: Readonly<Record<string, number>>, a: ArrayLike<number>, b: ArrayLike<number>) {
  const [left, out] = spec.split("->").map((s) => s.trim()) as [string, string];
  const [la, lb] = left.split(",").map(axes) as [string[], string[]];
  const all = [...new Set([...axes(out), ...la, ...lb])];
  const strides = (letters: readonly string[]) => {
    let step = 1;
    const map = new Map<string, number>();
    for (const l of letters.toReversed()) {
      map.set(l, step);
      step *= sizes[l]!;
    }
    return all.map((l) => map.get(l) ?? 0);
  };
  const [sa, sb, sc] = [strides(la), strides(lb), strides(axes(out))];
  const size = sizeOf(axes(out).map((l) => sizes[l]!));
  const [sum, bound] = [new Float64Array(size), new Float64Array(size)];
  const at = all.map(() => 0);
  let [ia, ib, ic] = [0, 0, 0];
  for (;;) {
    const product = a[ia]! * b[ib]!;
    sum[ic]! += product;
    bound[ic]! += Math.abs(product);
    let axis = all.length - 1;
    for (; axis >= 0; axis--) {
      at[axis]!++;
      ia += sa[axis]!;
      ib += sb[axis]!;
      ic += sc[axis]!;
      const n = sizes[all[axis]!]!;
      if (at[axis]! < n) break;
      at[axis] = 0;
      ia -= sa[axis]! * n;
      ib -= sb[axis]! * n;
      ic -= sc[axis]! * n;
    }
    if (axis < 0) return { sum, bound };
  }
}

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

const cases: readonly (Shape & { readonly what: string; readonly along?: boolean })[] = [
  { what: "projection", spec: "t d, d w -> t w", order: "w | d", sizes: { t: 1, d: 256, w: 37 }, along: true },
  { what: "tied head", spec: "t d, w d -> t w", order: "w | d", sizes: { t: 1, d: 512, w: 70 }, along: true },
  { what: "to heads", spec: "t d, d h n -> t h n", order: "h n | d", sizes: { t: 1, d: 256, h: 3, n: 5 }, along: true },
  {
    what: "to heads of whole panels, of rows chosen per head",
    spec: "t d, d h n -> t h n",
    order: "h n | d",
    sizes: { t: 1, d: 256, h: 5, n: 8 },
    before: 3,
    behind: 2,
    along: true,
  },
  {
    what: "from heads",
    spec: "t h v, h v d -> t d",
    order: "d | h v",
    sizes: { t: 1, h: 4, v: 64, d: 19 },
    along: true,
  },
  {
    what: "each head's latent to values",
    spec: "t h c, c h v -> t h v",
    order: "h v | c",
    sizes: { t: 1, h: 3, c: 256, v: 7 },
    before: 2,
    along: true,
  },
  {
    what: "absorbed keys, latent along the row",
    spec: "t h n, c h n -> t h c",
    order: "h n | c",
    sizes: { t: 1, h: 3, n: 6, c: 512 },
    behind: 4,
  },
  {
    what: "absorbed keys, head along the row",
    spec: "t h n, c h n -> t h c",
    order: "h c | n",
    sizes: { t: 1, h: 3, n: 256, c: 9 },
    along: true,
  },
  {
    what: "unfolded keys, latent along the row",
    spec: "s c, c h n -> s h n",
    order: "h n | c",
    sizes: { s: 1, h: 3, n: 6, c: 256 },
    along: true,
  },
  {
    what: "unfolded keys, head along the row",
    spec: "s c, c h n -> s h n",
    order: "h c | n",
    sizes: { s: 1, h: 2, n: 256, c: 11 },
  },
  { what: "experts", spec: "t d, x d f -> x t f", order: "x f | d", sizes: { t: 1, x: 3, d: 256, f: 6 }, along: true },
  { what: "experts' way back", spec: "x t f, x f d -> t d", order: "x d | f", sizes: { t: 1, x: 3, d: 10, f: 256 } },
  {
    what: "a gradient of activations",
    spec: "t h v, d h v -> t d",
    order: "h v | d",
    sizes: { t: 1, h: 2, v: 6, d: 256 },
  },
  {
    what: "an order no kernel knows",
    spec: "t h v, v d h -> t d",
    order: "h | d v",
    sizes: { t: 1, h: 3, v: 64, d: 8 },
  },
];

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
