import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addressOf } from "../src/device/address.ts";
import { dataOf } from "../src/device/float.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { cases } from "../src/ops/attend/cases.ts";
import { type AttendKernel, attend } from "../src/ops/attend/index.ts";
import { attendReference } from "../src/ops/attend/reference.ts";
import { type AttendSizes, attendCase, runCase } from "../src/ops/attend/trial.ts";
import { attendWasm } from "../src/ops/attend/wasm.ts";
import { contiguous, gatherPages } from "../src/ops/pages/index.ts";
import { type CacheType, PAGE } from "../src/tensor/page.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, tensor } from "../src/tensor/tensor.ts";
import { share } from "./extent.ts";
import { paged } from "./fixture/paged.ts";
import { openScope } from "./fixture/scope.ts";

const types = ["f32", "bf16", "q8"] as const;
const reference = new ReferenceDevice();
let one: WasmDevice;
let three: WasmDevice;
beforeAll(async () => {
  one = await WasmDevice.open({ threads: 1, poison: true });
  three = await WasmDevice.open({ threads: 3, poison: true });
});
afterAll(() => {
  one.close();
  three.close();
});

/** A kernel whose keys and values lie on pages. */
const overPages =
  (kernel: AttendKernel, type: CacheType): AttendKernel =>
  (call, out, lse) => {
    const { on, free } = paged([...call.terms.map(({ k }) => k), ...call.values.map(({ v }) => v)], type);
    const terms = call.terms.map((term) => ({ ...term, k: on.get(term.k)! }));
    const values = call.values.map((value) => ({ ...value, v: on.get(value.v)! }));
    kernel({ ...call, terms, values }, out, lse);
    free();
  };

const run = (device: Device, kernel: AttendKernel, sizes: AttendSizes, type: CacheType) =>
  openScope(device, () => runCase(device, { ...sizes, batch: 1 }, 5, [overPages(kernel, type), () => {}]));

/** The largest error of output and lse over pages, in units of their tolerance. */
async function expectPaged(device: WasmDevice, sizes: AttendSizes, type: CacheType) {
  const { tolerance } = attendCase("", { ...sizes, batch: 1 });
  const want = await run(reference, attendReference, sizes, type);
  const got = await run(device, attendWasm, sizes, type);
  for (const what of ["out", "lse"] as const)
    for (let i = 0; i < want[what].length; i++) {
      const [x, y] = [want[what][i]!, got[what][i]!];
      if (x !== y && !(Math.abs(x - y) < tolerance[what])) expect.fail(`${what} ${i}: got ${y}, expected ${x}`);
    }
  return got;
}

describe.each(types)("pages of %s", (type) => {
  test("both devices keep the same of the same numbers, to the bit", async () => {
    const random = new Random(3);
    for (const [groups, width] of [
      [1, 1],
      [1, 37],
      [2, 8],
      [3, 5],
    ] as const) {
      const values = Float32Array.from(random.normals(200 * groups * width, 3));
      // Ties, zeros, numbers hardly there, numbers too large to stay finite.
      values.set([0, -0, 1.00390625, 1.01171875, 1e-42, -1e-39, 3.4e38].slice(0, width * groups));
      values.fill(0, groups * width * 20, groups * width * 21);
      const kept = await Promise.all(
        [reference, one, three].map(async (device) => {
          const x = tensor(device, [200, groups, width], values);
          const { on, free } = paged([x], type);
          const back = contiguous(on.get(x)!);
          const numbers = Float32Array.from(await back.read());
          const some = contiguous(on.get(x)!, 90, 101);
          expect(Float32Array.from(await some.read())).toEqual(
            numbers.slice(90 * groups * width, 101 * groups * width),
          );
          const rows = tensor(device, [3], [97, -1, 200]);
          const named = gatherPages(on.get(x)!, rows);
          const picked = Float32Array.from(await named.read());
          expect(picked.slice(0, groups * width)).toEqual(numbers.slice(97 * groups * width, 98 * groups * width));
          expect(picked.slice(groups * width, 2 * groups * width).every((y) => y === 0)).toBe(true);
          expect(picked.slice(2 * groups * width).every(Number.isNaN)).toBe(true);
          free();
          for (const t of [x, back, some, rows, named]) t.free();
          return numbers;
        }),
      );
      expect(kept[1]).toEqual(kept[0]);
      expect(kept[2]).toEqual(kept[0]);
      const bound = { f32: 0, bf16: 2 ** -8, q8: 1 / 253 }[type];
      for (let g = 0; g < 200 * groups; g++) {
        const own = values.subarray(g * width, (g + 1) * width);
        const most = own.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        if (most < 1e38)
          expect(
            own.every((y, i) => {
              const error = Math.abs(kept[0]![g * width + i]! - y);
              return error <= 1e-40 + bound * (type === "q8" ? most : Math.abs(y));
            }),
            `row ${g} of width ${width}`,
          ).toBe(true);
      }
    }
  });

  test("a number that is none spoils the numbers of its scale, and no others", async () => {
    for (const device of [reference, one]) {
      const x = tensor(device, [2, 2, 3], [1, 2, 3, 4, Number.NaN, 6, 7, 8, 9, 1, 2, 3]);
      const { on, free } = paged([x], type);
      const back = contiguous(on.get(x)!);
      const kept = Array.from(await back.read());
      expect(kept[4]).toBeNaN();
      expect([...kept.slice(0, 3), ...kept.slice(6)].every(Number.isFinite)).toBe(true);
      free();
      back.free();
      x.free();
    }
  });

  test.each(cases.map((c) => [c.name, c] as const))(
    "%s: attention over pages is the reference's, and the same bits on three threads",
    async (_, c) => {
      const got = await expectPaged(one, c, type);
      const other = await run(three, attendWasm, c, type);
      expect(other.out).toEqual(got.out);
      expect(other.lse).toEqual(got.lse);
    },
  );

  test("random geometries agree with the reference in poisoned memory", () =>
    fc.assert(
      fc.asyncProperty(geometry, async (sizes) => void (await expectPaged(three, sizes, type))),
      { numRuns: share(60), seed: 12 },
    ));

  test("chosen keys are found on pages", async () => {
    const [t, s, h, m] = [9, 2 * PAGE + 20, 4, 30];
    const random = new Random(8);
    const numbers = [
      [t, h, 8],
      [s, 8],
      [s, 4],
    ].map((shape) => Float32Array.from(random.normals(shape.reduce((a, b) => a * b))));
    const rows = Array.from({ length: t }, (_, i) =>
      Array.from({ length: m }, (_, j) => (i + s - t - 3 * (m - 1 - j)) * (j < 2 ? -1 : 1)).map((x) => Math.max(-1, x)),
    );
    const results = await Promise.all(
      [reference, one, three].map((device) =>
        openScope(device, async () => {
          const [q, k, v] = [
            tensor(device, [t, h, 8], numbers[0]!),
            tensor(device, [s, 8], numbers[1]!),
            tensor(device, [s, 4], numbers[2]!),
          ];
          const { on, free } = paged([k, v], type);
          const chosen = tensor(device, [t, m], rows.flat());
          const result = await attend(on.get(v)!, { scale: 0.4, chosen }, [q, on.get(k)!]).read();
          free();
          return result;
        }),
      ),
    );
    expect(results[2]).toEqual(results[1]);
    results[0]!.forEach((x, i) => {
      expect(Math.abs(x - results[1]![i]!)).toBeLessThan(2e-6);
    });
  });
});

const geometry: fc.Arbitrary<AttendSizes> = fc.constantFrom(1, 2, 4, 6, 16, 40).chain((h) => {
  const e = fc.constantFrom(1, 3, 8, 20, 64);
  const operand = fc.record({ e, g: fc.constantFrom(...[1, 1, 2, 4, 8].filter((g) => h % g === 0)) });
  const weights = fc.oneof(
    fc.record({ causal: fc.boolean(), sinks: fc.boolean() }),
    fc.record({ stick: fc.record({ current: fc.boolean(), remainder: fc.boolean() }) }),
  );
  return fc.tuple(fc.array(operand, { minLength: 1, maxLength: 3 }), weights).chain(([terms, kind]) =>
    fc.record({
      t: fc.constantFrom(1, 2, 3, 5, 8, 33),
      s: fc.constantFrom(1, 5, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 7),
      h: fc.constant(h),
      window: fc.constantFrom(0, 0, 1, 7, 100),
      start: fc.constantFrom([0], [2], [61], [PAGE + 3]),
      terms: fc.constant(terms),
      values: fc.array(fc.oneof(operand, fc.record({ key: fc.nat(terms.length - 1) })), { minLength: 1, maxLength: 2 }),
      ...Object.fromEntries(Object.entries(kind).map(([name, option]) => [name, fc.constant(option)])),
    }),
  );
});

test("an op that does not know pages finds no memory there", () => {
  const x = tensor(reference, [2, 3], [1, 2, 3, 4, 5, 6]);
  const there = paged([x], "f32").on.get(x)!;
  expect(() => dataOf(there)).toThrow(/lie on pages; take contiguous/);
  expect(() => dataOf(there.rows(0, 1))).toThrow(/lie on pages; take contiguous/);
  expect(() => addressOf(there.reshape([3, 2]))).toThrow(/lie on pages; take contiguous/);
});
