import { afterAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { cases } from "../src/ops/attend/cases.ts";
import { attendBackwardWebgpu } from "../src/ops/attend/gpu/webgpu.ts";
import { attendBackwardReference, attendReference } from "../src/ops/attend/reference.ts";
import { type AttendCase, type AttendResult, attendCase, runCase } from "../src/ops/attend/trial.ts";
import { attendWebgpu } from "../src/ops/attend/webgpu.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";

// Every case of attention on whatever GPU there is, a software one included, against the definition in float64. A software GPU
// takes a second and more to compile what a case needs, so that by default only a few are tried.
const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
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

if (typeof gpu === "string") test.skip(`attend on WebGPU, since ${gpu}`, () => {});
else
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
  });
