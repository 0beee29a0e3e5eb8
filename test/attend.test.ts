import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dataOf } from "../src/device/float.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { gradients } from "../src/grad/tape.ts";
import { cases } from "../src/ops/attend/cases.ts";
import { attend, type View } from "../src/ops/attend/index.ts";
import { attendBackwardReference, attendReference } from "../src/ops/attend/reference.ts";
import { type AttendCase, type AttendResult, type AttendSizes, attendCase, runCase } from "../src/ops/attend/trial.ts";
import { attendBackwardWasm, attendWasm } from "../src/ops/attend/wasm.ts";
import { Random } from "../src/tensor/random.ts";
import { sizeOf, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { share } from "./extent.ts";
import { agrees } from "./law/agreement.ts";
import { probe } from "./law/shaken.ts";
import { operand } from "./law/subject.ts";

const reference = new ReferenceDevice();
const wasm = [attendWasm, attendBackwardWasm] as const;

/** The largest error of each result in units of its tolerance; NaN, and an infinity out of place, count as infinite. */
function excess(got: AttendResult, want: AttendResult, { tolerance }: AttendCase): Record<string, number> {
  const worst = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]) => {
    let most = 0;
    a.forEach((x, k) => {
      for (let i = 0; i < x.length; i++) {
        const error = x[i] === b[k]![i] ? 0 : Math.abs(x[i]! - b[k]![i]!);
        most = Math.max(most, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
      }
    });
    return most;
  };
  return {
    out: worst([got.out], [want.out]) / tolerance.out,
    lse: worst([got.lse], [want.lse]) / tolerance.lse,
    dq: worst(got.dq, want.dq) / tolerance.dq,
    dk: worst(got.dk, want.dk) / tolerance.dk,
    dv: worst(got.dv, want.dv) / tolerance.dv,
    dsinks: worst(got.dsinks, want.dsinks) / tolerance.dsinks,
  };
}

/** The reference is slow: each case is computed once for all builds. */
const known = new Map<string, Promise<AttendResult>>();

function expected(c: AttendCase, seed: number): Promise<AttendResult> {
  const key = `${seed} ${JSON.stringify(c)}`;
  const result = known.get(key) ?? runCase(reference, c, seed, [attendReference, attendBackwardReference]);
  known.set(key, result);
  return result;
}

/** Every bit of a result, NaN included. */
function bits({ out, lse, dq, dk, dv, dsinks }: AttendResult): string {
  const hash = createHash("sha256");
  for (const numbers of [out, lse, ...dq, ...dk, ...dv, ...dsinks]) hash.update(Float32Array.from(numbers));
  return hash.digest("hex");
}

async function expectWithin(device: WasmDevice, c: AttendCase, seed: number): Promise<AttendResult> {
  const want = await expected(c, seed);
  const got = await runCase(device, c, seed, wasm);
  const found = excess(got, want, c);
  for (const [what, error] of Object.entries(found)) expect(error, `${c.name}: ${what}`).toBeLessThan(1);
  return got;
}

describe.each(["simd", "relaxed", "wide"] as const)("attend on the %s build", (build) => {
  let one: WasmDevice;
  let two: WasmDevice;
  beforeAll(async () => {
    one = await WasmDevice.open({ build, threads: 1, poison: true });
    two = await WasmDevice.open({ build, threads: 2, poison: true });
  });
  afterAll(() => {
    one.close();
    two.close();
  });

  test.each(cases.map((c) => [c.name, c] as const))(
    "%s: output and gradients are those of the reference, and the same bits on two threads",
    async (_, c) => {
      const got = await expectWithin(one, c, 7);
      expect(bits(await runCase(two, c, 7, wasm))).toBe(bits(got));
    },
  );

  test("random geometries agree with the reference in poisoned memory", async () => {
    await fc.assert(
      fc.asyncProperty(geometry, fc.nat(), async (sizes, seed) => {
        await expectWithin(two, attendCase(JSON.stringify(sizes), sizes), seed);
      }),
      { numRuns: share(40), seed: 11 },
    );
  });

  test("a gradient that is not wanted is not computed, and the others do not change", async () => {
    const sizes: AttendSizes = {
      t: 17,
      s: 17,
      h: 4,
      terms: [
        { e: 5, g: 4 },
        { e: 3, g: 1 },
      ],
      values: [{ e: 5, g: 2 }],
    };
    const all = await runCase(one, sizes, 3, wasm);
    const some = await runCase(one, sizes, 3, [
      attendWasm,
      (call, out, lse, g, { dq, dk }) =>
        attendBackwardWasm(call, out, lse, g, { dq: [undefined, dq[1]], dk: [dk[0], undefined], dv: [undefined] }),
    ]);
    expect(some.dq[1]).toEqual(all.dq[1]);
    expect(some.dk[0]).toEqual(all.dk[0]);
    for (const left of [some.dq[0]!, some.dk[1]!, some.dv[0]!]) expect(Array.from(left).every(Number.isNaN)).toBe(true);
  });

  test("later keys, however wild, do not reach an earlier query", async () => {
    const sizes: AttendSizes = { t: 33, s: 33, h: 2, terms: [{ e: 20, g: 2 }], values: [{ e: 20, g: 2 }] };
    const tame = await runCase(one, sizes, 5, wasm);
    const wild = await runCase(one, sizes, 5, [
      (call, out, lse) => {
        const last = [call.terms[0]!.k, call.values[0]!.v].map((x) => x.rows(32, 33));
        for (const x of last) x.write(Float32Array.from({ length: x.size }, () => 1e30));
        attendWasm(call, out, lse);
      },
      () => {},
    ]);
    expect(Array.from(wild.out).slice(0, 32 * 40)).toEqual(Array.from(tame.out).slice(0, 32 * 40));
  });

  test("rows whose stick is spent between rows with most of it left take nothing from older keys", async () => {
    const [t, s] = [65, 300];
    const random = new Random(4);
    // Rows 16 to 47 spend theirs on the newest keys, the others keep more than half.
    const q = Float64Array.from({ length: t }, (_, i) => (i >= 16 && i < 48 ? 9 : -7));
    const inputs = [
      { name: "q", shape: [t, 1, 1], values: q },
      { name: "k", shape: [s, 1], values: new Float64Array(s).fill(1) },
      operand("v", [s, 3], random),
    ];
    const view = { scale: 1, stick: { current: false, remainder: true } };
    const run = ([x, k, v]: readonly Tensor[]) => attend(v!, view, [x!, k!]);
    expect(await agrees("spent rows", { inputs, scale: 1, run }, one)).toBeUndefined();
  });
});

const width = fc.constantFrom(1, 3, 5, 20, 60, 64);
const geometry: fc.Arbitrary<AttendSizes> = fc.constantFrom(1, 2, 4, 6).chain((h) => {
  const operand = fc.record({ e: width, g: fc.constantFrom(...[1, 2, 3, 6, 4].filter((g) => h % g === 0)) });
  const weights = fc.oneof(
    fc.record({ causal: fc.boolean(), sinks: fc.boolean() }),
    fc.record({ stick: fc.record({ current: fc.boolean(), remainder: fc.boolean() }) }),
  );
  return fc.tuple(fc.array(operand, { minLength: 1, maxLength: 4 }), weights).chain(([terms, kind]) =>
    fc.record({
      batch: fc.constantFrom(1, 2),
      t: fc.constantFrom(1, 3, 16, 63, 65, 130),
      s: fc.constantFrom(1, 3, 63, 65, 130, 200),
      h: fc.constant(h),
      window: fc.constantFrom(0, 0, 1, 7, 64),
      start: fc.constantFrom([0, 0], [2, 0], [1, 61]),
      terms: fc.constant(terms),
      values: fc.array(fc.oneof(operand, fc.record({ key: fc.nat(terms.length - 1) })), { minLength: 1, maxLength: 2 }),
      ...Object.fromEntries(Object.entries(kind).map(([name, option]) => [name, fc.constant(option)])),
    }),
  );
});

test("a sink is one more key, whose score is the sink and whose value is 0", () => {
  const [batch, t, s, h, e] = [2, 3, 5, 2, 3];
  const random = new Random(1);
  const numbers = (...shape: number[]) => tensor(reference, shape, random.normals(sizeOf(shape)));
  const [q, k, v, sinks] = [numbers(batch * t, h, e), numbers(batch * s, h, e), numbers(batch * s, h, e), numbers(h)];
  const scale = 0.7;
  // The key comes first in each sequence, and a term of width 1 gives it its score.
  const longer = (x: Tensor, first: readonly number[]) => {
    const rows = Array.from({ length: batch }, (_, b) => [...first, ...dataOf(x.rows(b * s, (b + 1) * s))]);
    return tensor(reference, [batch * (s + 1), ...x.shape.slice(1)], rows.flat());
  };
  const none = new Array<number>(h * e).fill(0);
  const ones = tensor(reference, [batch * t, h, 1], new Array<number>(batch * t * h).fill(1));
  const zeros = tensor(reference, [batch * s, h, 1], new Array<number>(batch * s * h).fill(0));
  const scores = longer(
    zeros,
    Array.from(dataOf(sinks), (x) => x / scale),
  );
  const [k2, v2] = [longer(k, none), longer(v, none)];
  const sunk = gradients([q, sinks], () => probe(attend(v, { scale, batch, sinks }, [q, k])));
  const keyed = gradients([q, scores], () => probe(attend(v2, { scale, batch }, [q, k2], [ones, scores])));
  expect(dataOf(sunk.value)[0]).toBeCloseTo(dataOf(keyed.value)[0]!, 12);
  for (const [i, x] of dataOf(sunk.gradients[0]!).entries()) expect(x).toBeCloseTo(dataOf(keyed.gradients[0]!)[i]!, 12);
  for (let i = 0; i < h; i++) {
    const parts = Array.from({ length: batch }, (_, b) => dataOf(keyed.gradients[1]!)[b * (s + 1) * h + i]! / scale);
    expect(dataOf(sunk.gradients[1]!)[i]).toBeCloseTo(parts[0]! + parts[1]!, 12);
  }
});

test("start, sinks and stick-breaking of the wrong shape or together are refused", () => {
  const x = tensor(reference, [2, 1, 1], [1, 2]);
  const one = tensor(reference, [1], [0]);
  const stick = { current: true, remainder: true };
  const refused = (view: Partial<View>) => expect(() => attend(x, { scale: 1, ...view }, [x, x]));
  refused({ batch: 2, start: one }).toThrow("attend: start got [1], expected [2]");
  refused({ sinks: x }).toThrow("attend: sinks got [2,1,1], expected [1]");
  refused({ sinks: one, stick }).toThrow("attend: stick-breaking got sinks");
  refused({ causal: false, stick }).toThrow("attend: stick-breaking got causal: false");
});
