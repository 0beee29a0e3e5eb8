import { afterAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { cases } from "../src/ops/attend/cases.ts";
import { attendBackwardWebgpu } from "../src/ops/attend/gpu/webgpu.ts";
import { attend } from "../src/ops/attend/index.ts";
import { attendBackwardReference, attendReference } from "../src/ops/attend/reference.ts";
import { type AttendCase, type AttendResult, attendCase, runCase } from "../src/ops/attend/trial.ts";
import { attendWebgpu } from "../src/ops/attend/webgpu.ts";
import { blend } from "../src/ops/blend/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { packed } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

// Every case of attention on whatever GPU there is, a software one included, against the definition in float64. A software GPU
// takes a second and more to compile what a case needs, so that by default only a few are tried.
const gpu = await openGpu();
/** As if its threads knew nothing of each other: keys are then staged for all of a workgroup. */
const plain = await openGpu({ without: ["subgroups"], hardware: true });
afterAll(() => {
  for (const device of [gpu, plain]) if (typeof device !== "string") device.close();
});
const reference = new ReferenceDevice();

const few = ["one token over a long latent cache", "stick-breaking, more queries than keys"];

/** The largest error of some results in units of their tolerance; NaN, and an infinity out of place, count as infinite. */
function excess(got: readonly ArrayLike<number>[], want: readonly ArrayLike<number>[], tolerance: number): number {
  let most = 0;
  got.forEach((x, k) => {
    for (let i = 0; i < x.length; i++) {
      const error = x[i] === want[k]![i] ? 0 : Math.abs(x[i]! - want[k]![i]!);
      most = Math.max(most, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
    }
  });
  return most / tolerance;
}

type Result = keyof AttendResult;

function expectWithin(
  got: AttendResult,
  want: AttendResult,
  { name, tolerance }: AttendCase,
  of: readonly Result[],
): void {
  const listed = (x: AttendResult[Result]) =>
    Array.isArray(x) ? (x as ArrayLike<number>[]) : [x as ArrayLike<number>];
  for (const what of of)
    expect(excess(listed(got[what]), listed(want[what]), tolerance[what]), `${name}: ${what}`).toBeLessThan(1);
}

if (typeof gpu === "string" || typeof plain === "string") test.skip(`attend on WebGPU, since ${gpu}`, () => {});
else {
  const staged = cases.filter(({ name, stick }) => (long ? !stick : name === few[0]));
  test.each(staged.map((c) => [c.name, c] as const))("%s, without subgroups: the output is the same", async (_, c) => {
    const want = await runCase(reference, c, 7, [attendReference, () => {}]);
    const got = await runCase(plain, c, 7, [attendWebgpu, () => {}]);
    expectWithin(got, want, c, ["out", "lse"]);
  });

  describe("attend on WebGPU", () => {
    const tried = cases.filter(({ name }) => long || few.includes(name));
    test.each(tried.map((c) => [c.name, c] as const))(
      "%s: output and gradients are those of the reference",
      async (_, c) => {
        const want = await runCase(reference, c, 7, [attendReference, attendBackwardReference]);
        const back = long || c.t > 1;
        const got = await runCase(gpu, c, 7, [attendWebgpu, back ? attendBackwardWebgpu : () => {}]);
        expectWithin(got, want, c, ["out", "lse", ...(back ? (["dq", "dk", "dv", "dsinks"] as const) : [])]);
      },
    );

    // Queries and the output's gradient are then staged in slices; of MLA's own sizes where there is time.
    const narrow = (e: number, r: number, t: number) =>
      attendCase(`latents of ${e} + ${r}`, {
        t,
        s: t + 2,
        h: 2,
        terms: [
          { e, g: 1 },
          { e: r, g: 1 },
        ],
        values: [{ key: 0 }],
      });
    test.skipIf(!long).each<[AttendCase, number]>([
      [narrow(64, 8, 5), 2500],
      [narrow(512, 64, 3), 16384],
    ])("%o: gradients where workgroups share %i bytes", async (c, shared) => {
      const { traits } = gpu;
      const { shared: whole } = traits;
      const want = await runCase(reference, c, 7, [attendReference, attendBackwardReference]);
      Object.assign(traits, { shared });
      const got = await runCase(gpu, c, 7, [attendWebgpu, attendBackwardWebgpu]).finally(() =>
        Object.assign(traits, { shared: whole }),
      );
      expectWithin(got, want, c, ["out", "lse", "dq", "dk", "dv"]);
    });

    // A latent cache of 400 tokens is gone through in pieces, and a sink is one more key.
    test.each(long ? (["plain", "Q8_0", "Q4_1", "BF16"] as const) : (["plain", "Q8_0"] as const))(
      "rows over pieces of the keys are put together by the launch that multiplies them with a %s matrix per head",
      (format) =>
        openScope(gpu, async () => {
          const random = new Random(3);
          const [t, s, h, c, v] = [2, 400, 3, 64, 12];
          const numbers = (size: number) => Float32Array.from(random.normals(size, 1));
          const [q, k, sinks] = [numbers(t * h * c), numbers(s * c), numbers(h)];
          const sizes = { c, h, v };
          const { t: w, numbers: values } =
            format === "plain"
              ? { t: undefined, numbers: numbers(c * h * v) }
              : await packed(gpu, format, ["c", "h", "v"], { spec: "", order: "h v | c", sizes }, random);
          const run = (device: Device, w: Tensor) => {
            const key = tensor(device, [s, c], k);
            const view = { scale: c ** -0.5, sinks: tensor(device, [h], sinks) };
            const o = attend(key, view, [tensor(device, [t, h, c], q), key]);
            return [o, einsum("t h c, c h v -> t h v", o, w)];
          };
          const matrix = w ?? tensor(gpu, [c, h, v], values);
          const before = gpu.counts.launches;
          const got = run(gpu, matrix);
          expect(gpu.counts.launches - before).toBe(2);
          const want = run(reference, tensor(reference, [c, h, v], values));
          for (const i of [0, 1]) {
            const [x, y] = [await got[i]!.read(), await want[i]!.read()];
            expect(excess([x], [y], 3e-4)).toBeLessThan(1);
          }
        }),
    );

    // What MFA-KR's values come to, whose matrix is one for all heads and whose gains are those of a group of them.
    test.each(["plain", "Q8_0"] as const)(
      "rows over pieces and a %s matrix's gated product of them are put together by one launch",
      (format) =>
        openScope(gpu, async () => {
          const random = new Random(4);
          const [t, s, h, g, e] = [2, 400, 6, 2, 64];
          const numbers = (size: number) => Float32Array.from(random.normals(size, 1));
          const [q, k, gains] = [numbers(t * h * e), numbers(s * e), numbers(g * e)];
          const { t: w, numbers: values } =
            format === "plain"
              ? { t: undefined, numbers: numbers(e * e) }
              : await packed(gpu, format, ["e", "v"], { spec: "", order: "v | e", sizes: { e, v: e } }, random);
          const run = (device: Device, w: Tensor) => {
            const key = tensor(device, [s, e], k);
            const gain = tensor(device, [g, e], gains);
            return blend(attend(key, { scale: e ** -0.5 }, [tensor(device, [t, h, e], q), key]), w, gain);
          };
          const matrix = w ?? tensor(gpu, [e, e], values);
          const before = gpu.counts.launches;
          const got = run(gpu, matrix);
          expect(gpu.counts.launches - before).toBe(2);
          const want = run(reference, tensor(reference, [e, e], values));
          expect(excess([await got.read()], [await want.read()], 3e-4)).toBeLessThan(1);
        }),
    );
  });
}
