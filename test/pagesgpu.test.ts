import { afterAll, describe, expect, test } from "vitest";
import { Cache } from "../src/attention/cache.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { attend } from "../src/ops/attend/index.ts";
import { contiguous, gatherPages } from "../src/ops/pages/index.ts";
import { Joined } from "../src/tensor/joined.ts";
import { PAGE } from "../src/tensor/page.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, sizeOf, tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { paged } from "./fixture/paged.ts";
import { openScope } from "./fixture/scope.ts";

// What a cache keeps, on whatever GPU there is, a software one included.
const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});
const reference = new ReferenceDevice();

if (typeof gpu === "string") test.skip(`pages on WebGPU, since ${gpu}`, () => {});
else
  describe.each(["f32", "bf16", "q8"] as const)("pages of %s on WebGPU", (type) => {
    test.each([
      [1, 1],
      [1, 37],
      [2, 8],
      [3, 5],
    ])("%i groups of %i numbers: what the reference keeps, to the bit", async (groups, width) => {
      const values = Float32Array.from(new Random(3).normals(200 * groups * width, 3));
      // Ties, zeros, numbers hardly there, numbers too large to stay finite.
      values.set([0, -0, 1.00390625, 1.01171875, 1e-42, -1e-39, 3.4e38].slice(0, width * groups));
      values.fill(0, groups * width * 20, groups * width * 21);
      const keep = (device: Device) =>
        openScope(device, async () => {
          const { on, free } = paged([tensor(device, [200, groups, width], values)], type);
          const back = on.values().next().value!;
          const rows = tensor(device, [3], [97, -1, 200]);
          const found = [contiguous(back), contiguous(back, 90, 101), gatherPages(back, rows)];
          const read = await Promise.all(found.map(async (x) => Float32Array.from(await x.read())));
          free();
          return read;
        });
      expect(await keep(gpu)).toEqual(await keep(reference));
    });

    test("a number that is none spoils the numbers of its scale, and no others", () =>
      openScope(gpu, async () => {
        const x = tensor(gpu, [2, 2, 3], [1, 2, 3, 4, Number.NaN, 6, 7, 8, 9, 1, 2, 3]);
        const { on, free } = paged([x], type);
        const kept = Array.from(await contiguous(on.get(x)!).read());
        free();
        expect(kept[4]).toBeNaN();
        expect([...kept.slice(0, 3), ...kept.slice(6)].every(Number.isFinite)).toBe(true);
      }));

    // A software GPU takes seconds to compile each.
    test.each(long ? ["all", "chosen"] : ({ f32: ["chosen"], bf16: [], q8: ["all"] } as const)[type])(
      "queries see %s keys as the reference does, whole words or not, value a key or not",
      async (seen) => {
        const [t, s, h, m] = [3, 2 * PAGE + 20, 4, 30];
        const shapes = [
          [t, h, 8],
          [t, h, 5],
          [s, 8],
          [s, 2, 5],
          [s, 3],
        ];
        const random = new Random(8);
        const numbers = shapes.map((shape) => random.normals(sizeOf(shape)));
        const rows = Array.from({ length: t * m }, (_, i) => Math.floor(i / m) + s - t - 7 * (m - 1 - (i % m)));
        const run = (device: Device) =>
          openScope(device, async () => {
            const [q, q2, k, k2, v] = shapes.map((shape, i) => tensor(device, shape, numbers[i]!));
            const { on, free } = paged([k!, k2!, v!], type);
            const view = { scale: 0.3, ...(seen === "chosen" ? { chosen: tensor(device, [t, m], rows) } : {}) };
            const values = [on.get(k!)!, on.get(v!)!];
            const out = await attend(values, view, [q!, on.get(k!)!], [q2!, on.get(k2!)!]).read();
            free();
            return out;
          });
        const [got, want] = [await run(gpu), await run(reference)];
        for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!), `${i}`).toBeLessThan(3e-6);
      },
    );

    test.skipIf(!long && type !== "q8")(
      "new rows of sequences of any length are stored by one launch, and attended to by another and a merge",
      async () => {
        const { variant, sizes } = parseSpec("MLA", { width: 64, heads: 4 });
        const lengths = [5, 5 * PAGE + 30, 130];
        const random = new Random(8);
        const draw = (...shape: number[]) => ({
          shape,
          values: Float32Array.from(random.normals(sizeOf(shape), 1)),
        });
        const { c, r, h } = sizes;
        const [first, next] = [lengths, [1, 1, 1]].map((list) => list.map((n) => ({ c: draw(n, c), kr: draw(n, r) })));
        const queries = [draw(3, h, c), draw(3, h, r)];
        const on = (device: Device) =>
          openScope(device, async () => {
            const make = ({ shape, values }: (typeof queries)[number]) => tensor(device, shape, values);
            const layer = { variant, sizes };
            const caches = lengths.map(() => new Cache(device, layer, 600, type));
            caches.forEach((cache, i) => {
              cache.append({ c: make(first![i]!.c), kr: make(first![i]!.kr) }, lengths[i]!);
            });
            const all = (part: "c" | "kr") =>
              make({
                shape: [3, sizes[part === "c" ? "c" : "r"]],
                values: Float32Array.from(next!.flatMap((n) => [...n[part].values])),
              });
            const parts = { c: all("c"), kr: all("kr") };
            const [qc, qr] = [make(queries[0]!), make(queries[1]!)];
            const before = gpu.counts.launches;
            const cached = Cache.append(caches, parts, [1, 1, 1]);
            const stored = gpu.counts.launches - before;
            const join = (part: string) => Joined.of(cached.map((own) => own[part]!));
            const [kc, kr] = [join("c"), join("kr")];
            const run = (window?: number) => attend(kc, { scale: 0.2, batch: [1, 1, 1], window }, [qc, kc], [qr, kr]);
            const outs = [run(), run(40)];
            const attended = gpu.counts.launches - before - stored;
            const found = await Promise.all(outs.map(async (out) => Float32Array.from(await out.read())));
            for (const cache of caches) cache.free();
            return { found, stored, attended };
          });
        const [got, want] = [await on(gpu), await on(reference)];
        // Behind the window lies one piece, and nothing to merge.
        expect([got.stored, got.attended]).toEqual([1, 3]);
        got.found.forEach((numbers, i) => {
          // Rows are kept to the bit; weights and sums of some hundred keys are rounded.
          numbers.forEach((x, at) => void expect(Math.abs(x - want.found[i]![at]!)).toBeLessThan(4e-5));
        });
      },
    );
  });
