import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { addressOf } from "../src/device/address.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { combineReference } from "../src/ops/add/reference.ts";
import { combineWasm } from "../src/ops/add/wasm.ts";
import { planOf } from "../src/ops/einsum/plan.ts";
import { contractReference } from "../src/ops/einsum/reference.ts";
import { contractWasm } from "../src/ops/einsum/wasm.ts";
import { gatherReference, scatterReference } from "../src/ops/embed/reference.ts";
import { gatherWasm, scatterWasm } from "../src/ops/embed/wasm.ts";
import { gateBackwardReference, gateReference } from "../src/ops/gate/reference.ts";
import { gateBackwardWasm, gateWasm } from "../src/ops/gate/wasm.ts";
import { lossBackwardReference, lossReference } from "../src/ops/loss/reference.ts";
import { lossBackwardWasm, lossWasm } from "../src/ops/loss/wasm.ts";
import { normBackwardReference, normReference } from "../src/ops/norm/reference.ts";
import { normBackwardWasm, normWasm } from "../src/ops/norm/wasm.ts";
import { adamwReference, squaresReference } from "../src/ops/optimise/reference.ts";
import { adamwWasm, squaresWasm } from "../src/ops/optimise/wasm.ts";
import { ropeReference } from "../src/ops/rope/reference.ts";
import { ropeWasm } from "../src/ops/rope/wasm.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { type Device, sizeOf, Tensor, tensor } from "../src/tensor/tensor.ts";
import { long, share } from "./extent.ts";
import { compare } from "./law/check.ts";

const reference = new ReferenceDevice();
const builds = ["simd", "relaxed", "wide"] as const;
const devices = await Promise.all(
  builds.flatMap((build) =>
    (long ? [1, 2, 3] : [1, 3]).map((threads) => WasmDevice.open({ build, threads, poison: true })),
  ),
);
afterAll(() => {
  for (const device of devices) device.close();
});

type Give = (shape: readonly number[], deviation?: number) => Tensor;

/**
 * Runs `body` with equal inputs on the reference and on every wasm device, and compares what it returns: to within
 * `tolerance` of the reference relative to the largest number, and bit for bit among thread counts of one build.
 */
async function agree(tolerance: number, body: (give: Give, device: Device) => Tensor[]): Promise<void> {
  const random = new Random(7);
  // Drawn once: every device asks for the same in the same order.
  const drawn: Float32Array[] = [];
  const run = async (device: Device) => {
    const made: Tensor[] = [];
    const give: Give = (shape, deviation = 1) => {
      drawn[made.length] ??= Float32Array.from(random.normals(sizeOf(shape), deviation));
      const t = tensor(device, shape, drawn[made.length]!);
      made.push(t);
      return t;
    };
    const outputs = body(give, device);
    const numbers = await Promise.all(outputs.map((t) => t.read()));
    for (const t of [...made, ...outputs]) t.free();
    return numbers;
  };
  const expected = await run(reference);
  const known = new Map<string, Awaited<ReturnType<typeof run>>>();
  for (const device of devices) {
    const got = await run(device);
    const name = `${device.build} on ${device.threads} threads`;
    got.forEach((numbers, which) => {
      const { error, size } = compare(expected[which]!, numbers);
      expect(error / Math.max(size, 1e-30), `output ${which}, ${name}`).toBeLessThan(tolerance);
      const first = known.get(device.build)?.[which];
      if (first) expect(Buffer.compare(Buffer.from(first.buffer), Buffer.from(numbers.buffer)), name).toBe(0);
    });
    known.set(device.build, got);
  }
}

const awkward = [1, 3, 63, 65, 1000];
const isWasm = (device: Device) => device.kind === "wasm";

describe("contraction", () => {
  const specs = [
    "t d, d f -> t f",
    "t f, d f -> t d",
    "t d, t f -> d f",
    "t d, d f -> f t",
    "t h n, c h n -> t h c",
    "t h v, h v d -> t d",
    "b t h n, c h n -> b t h c",
    "a b c d, d c e -> e b a",
    "t h e, s h e -> h t s",
    "t d, d -> t",
    "t, d -> t d",
    "t d, t d -> t",
  ];
  const contract = (spec: string, a: readonly number[], b: readonly number[], mode: "set" | "add") =>
    agree(2e-6, (give, device) => {
      const plan = planOf(spec, a, b);
      // Where C is set, what it held before (NaN) must not matter.
      const out = mode === "add" ? give(plan.shape) : new Tensor(device, plan.shape);
      (isWasm(device) ? contractWasm : contractReference)(plan, give(a), give(b), out, mode);
      return [out];
    });

  it("agrees with the reference for random specs, sizes and modes", async () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, 3, 4, 5, 6, 16, 17, 31, 33));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...specs),
        fc.array(size, { minLength: 6, maxLength: 6 }),
        fc.constantFrom("set" as const, "add" as const),
        async (spec, sizes, mode) => {
          const letters = [...new Set(spec.match(/[a-z]/g))];
          const shapes = spec
            .split("->")[0]!
            .split(",")
            .map((s) =>
              s
                .trim()
                .split(" ")
                .map((letter) => sizes[letters.indexOf(letter)]!),
            );
          await contract(spec, shapes[0]!, shapes[1]!, mode);
        },
      ),
      { numRuns: share(150) },
    );
  });

  it.each([
    [65, 63, 1000],
    [1000, 65, 63],
    [63, 1000, 65],
    [1, 1000, 1000],
    [3, 1000, 63],
    [1000, 3, 65],
    [4, 63, 1000],
    [130, 70, 600],
  ])("agrees at %i x %i x %i in the layouts of the gradients", async (m, n, k) => {
    await contract("t d, d f -> t f", [m, k], [k, n], "set");
    await contract("t f, d f -> t d", [m, k], [n, k], "set");
    await contract("t d, t f -> d f", [k, m], [k, n], "add");
  });

  it("agrees where B has more columns and rows than fit the buffers of panels", async () => {
    await contract("t d, d f -> t f", [40, 300], [300, 2100], "set");
    await contract("t d, d f -> t f", [3, 9], [9, 5000], "set");
  });

  it.each([
    [1, 512, 512],
    [2, 131, 1003],
    [3, 509, 777],
    [4, 1100, 300],
    [4, 4096, 65],
    [3, 4500, 70],
  ])(
    "agrees where %i rows go through a matrix of %i columns in runs of its %i rows, or of columns",
    async (m, n, k) => {
      for (const mode of ["set", "add"] as const) {
        await contract("t d, d f -> t f", [m, k], [k, n], mode);
        await contract("d t, d f -> f t", [k, m], [k, n], mode);
      }
    },
  );

  it("agrees where an operand is too long to be kept in panels, and where it is kept in strips", async () => {
    await contract("t d, d f -> t f", [9, 90_000], [90_000, 10], "set");
    await contract("t d, d f -> t f", [10, 90_000], [90_000, 9], "add");
    await contract("t d, d f -> t f", [70, 30_000], [30_000, 80], "set");
    if (long) await contract("t d, d f -> t f", [80, 30_000], [30_000, 70], "set");
  });

  it("sums nothing to zero", async () => {
    await agree(1e-9, (give, device) => {
      const plan = planOf("t d, d f -> t f", [3, 0], [0, 5]);
      const out = give(plan.shape);
      (isWasm(device) ? contractWasm : contractReference)(plan, give([3, 0]), give([0, 5]), out, "set");
      return [out];
    });
  });
});

describe.each(awkward)("elementwise and row kernels at width %i", (e) => {
  const rows = e === 1000 ? 65 : 37;

  it("combine", () =>
    agree(2e-7, (give, device) => {
      const [x, y, out] = [give([rows, e]), give([rows, e]), new Tensor(device, [rows, e])];
      const combine = isWasm(device) ? combineWasm : combineReference;
      combine(0.5, x, -2, y, out);
      combine(3, x, 0, undefined, x);
      combine(1, x, 0.25, y, y);
      return [out, x, y];
    }));

  it("norm, with a gain and without", () =>
    agree(1e-6, (give, device) => {
      const [x, gain] = [give([rows, e]), give([e])];
      const [out, bare] = [new Tensor(device, [rows, e]), new Tensor(device, [rows, e])];
      const norm = isWasm(device) ? normWasm : normReference;
      norm(x, gain, 1e-6, out);
      norm(x, undefined, 1e-2, bare);
      return [out, bare];
    }));

  it("the gradients of norm", () =>
    agree(2e-5, (give, device) => {
      const [x, gain, g] = [give([rows, e]), give([e]), give([rows, e])];
      const [dx, bare, dgain] = [new Tensor(device, [rows, e]), new Tensor(device, [rows, e]), new Tensor(device, [e])];
      const back = isWasm(device) ? normBackwardWasm : normBackwardReference;
      // A large epsilon: at width 1 the gradient vanishes otherwise, and only rounding would be compared.
      back(x, gain, 0.5, g, dx, dgain);
      back(x, undefined, 0.5, g, bare, undefined);
      return [dx, dgain, bare];
    }));

  it("gather and scatter", () =>
    agree(1e-6, (give, device) => {
      const [table, g] = [give([11, e]), give([rows, e])];
      const ids = { rows: Int32Array.from({ length: rows }, (_, i) => (i * i) % 7), count: rows, parts: 1 };
      const out = new Tensor(device, [rows, e]);
      (isWasm(device) ? gatherWasm : gatherReference)(table, ids, out);
      (isWasm(device) ? scatterWasm : scatterReference)(g, ids, table);
      return [out, table];
    }));

  it("gate and its gradients", () =>
    agree(1e-6, (give, device) => {
      const [a, b, g] = [give([rows, e], 6), give([rows, e]), give([rows, e])];
      const [out, da, db] = [new Tensor(device, a.shape), new Tensor(device, a.shape), new Tensor(device, a.shape)];
      (isWasm(device) ? gateWasm : gateReference)(a, b, out);
      (isWasm(device) ? gateBackwardWasm : gateBackwardReference)(a, b, g, da, db);
      return [out, da, db];
    }));

  it("cross entropy and its gradient", () =>
    agree(2e-6, (give, device) => {
      const [logits, g] = [give([rows, e], 8), give([1])];
      const targets = Int32Array.from({ length: rows }, (_, i) => (i % 5 ? (i * 31) % e : -1));
      const counted = targets.filter((t) => t >= 0).length;
      const [out, lse, dlogits] = [new Tensor(device, [1]), new Tensor(device, [rows]), new Tensor(device, [rows, e])];
      (isWasm(device) ? lossWasm : lossReference)(logits, targets, counted, out, lse);
      (isWasm(device) ? lossBackwardWasm : lossBackwardReference)(logits, targets, counted, lse, g, dlogits);
      // A loss of zero (one class) is compared through lse instead.
      if (e === 1) out.write([0]);
      return [out, lse, e === 1 ? lse : dlogits];
    }));

  it("sum of squares and AdamW with clipping", () =>
    agree(1e-6, (give, device) => {
      const [p, g, m] = [give([rows, e]), give([rows, e]), give([rows, e], 0.1)];
      const v = new Tensor(device, [rows, e]).write(new Float64Array(rows * e).fill(0.25));
      const sums = new Tensor(device, [3]).write([0.5, 0, 0.25]);
      (isWasm(device) ? squaresWasm : squaresReference)(g, sums, 1);
      const step = { rate: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, correction1: 0.1, correction2: 0.05 };
      const adamw = isWasm(device) ? adamwWasm : adamwReference;
      adamw(p, g, m, v, sums, { ...step, maxNorm: 1 });
      adamw(p, g, m, v, sums, { ...step, maxNorm: Number.POSITIVE_INFINITY });
      return [sums, p, m, v];
    }));
});

describe("the exponential", () => {
  const silu = async (device: WasmDevice, x: Float64Array | Float32Array) => {
    const [a, b] = [tensor(device, [x.length], x), tensor(device, [x.length], new Float64Array(x.length).fill(1))];
    const out = new Tensor(device, [x.length]);
    gateWasm(a, b, out);
    const numbers = await out.read();
    for (const t of [a, b, out]) t.free();
    return numbers;
  };

  it("inside silu has a relative error below 5e-7 over its whole range", async () => {
    const x = Float32Array.from({ length: 40_000 }, (_, i) => -87 + (i * 174) / 40_000);
    for (const device of devices) {
      const got = Float64Array.from(await silu(device, x));
      const worst = got.reduce((a, y, i) => {
        const expected = x[i]! / (1 + Math.exp(-x[i]!));
        return Math.max(a, Math.abs(y - expected) / Math.max(Math.abs(expected), 1e-35));
      }, 0);
      expect(worst, device.build).toBeLessThan(5e-7);
    }
  });

  it("keeps NaN, and goes to its limits far outside", async () => {
    for (const device of devices) {
      const got = await silu(device, Float64Array.of(Number.NaN, 1000, -1000, 0, 100, -88));
      expect([...got].map((y) => (Math.abs(y) < 1e-30 ? 0 : y))).toEqual([Number.NaN, 1000, 0, 0, 100, 0]);
    }
  });
});

describe("rotation", () => {
  it.each([
    [1, 1, 2, 1],
    [5, 3, 7, 3],
    [65, 4, 64, 32],
    [63, 2, 96, 9],
    [300, 3, 70, 33],
  ])("%i rows of %i vectors of width %i, %i pairs", async (rows, vectors, e, pairs) => {
    for (const layout of ["interleaved", "half"] as const)
      for (const sign of [1, -1] as const)
        await agree(1e-6, (give, device) => {
          const [x, table, out] = [
            give([rows, vectors, e]),
            give([rows, 2, pairs]),
            new Tensor(device, [rows, vectors, e]),
          ];
          (isWasm(device) ? ropeWasm : ropeReference)(x, table, layout, sign, out);
          return [out];
        });
  });
});

describe("memory", () => {
  it("is reused, merged and never handed out twice, for any order of taking and giving back", async () => {
    const [device] = devices as [WasmDevice];
    const before = device.liveBytes;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.nat()), { maxLength: 80 }),
        async (steps) => {
          const held: { t: Tensor; mark: number }[] = [];
          for (const [size, choice] of steps) {
            if (choice % 3 === 0 && held.length) {
              const [{ t, mark }] = held.splice(choice % held.length, 1) as [{ t: Tensor; mark: number }];
              expect((await t.read()).every((x) => x === mark)).toBe(true);
              t.free();
            } else
              held.push({ t: tensor(device, [size], new Float64Array(size).fill(choice % 1000)), mark: choice % 1000 });
          }
          const expected = held.reduce((sum, { t }) => sum + 4 * t.size, before);
          expect(device.liveBytes).toBe(expected);
          for (const { t, mark } of held) {
            expect((await t.read()).every((x) => x === mark)).toBe(true);
            t.free();
          }
        },
      ),
      { numRuns: share(50) },
    );
    expect(device.liveBytes).toBe(before);
  });

  it("does not grow when the same blocks are asked for again", async () => {
    const device = await WasmDevice.open({ threads: 1 });
    const round = () => {
      const all = [900_000, 40, 123_456, 2_000_000].map((n) => new Tensor(device, [n]));
      for (const t of all) t.free();
    };
    round();
    const bytes = device.floats.byteLength;
    for (let i = 0; i < 50; i++) round();
    expect(device.floats.byteLength).toBe(bytes);
    device.close();
  });

  it("says so when it is full, and goes on working", async () => {
    const device = await WasmDevice.open({ threads: 1 });
    expect(() => new Tensor(device, [2 ** 30])).toThrow(DeviceError);
    expect(() => new Tensor(device, [2 ** 30])).toThrow(/4096 MiB.*smaller/);
    expect(await tensor(device, [3], [1, 2, 3]).read()).toEqual(Float32Array.of(1, 2, 3));
    device.close();
  });

  it("a poisoned device holds NaN until written, and notices a write past the end", async () => {
    const device = await WasmDevice.open({ threads: 1, poison: true });
    const t = new Tensor(device, [5]);
    expect((await t.read()).every(Number.isNaN)).toBe(true);
    device.floats[addressOf(t) / 4 + 5] = 1;
    expect(() => t.free()).toThrow(/past the end/);
    device.close();
  });
});

describe("opening", () => {
  it("refuses an impossible number of threads", async () => {
    await expect(WasmDevice.open({ threads: 0 })).rejects.toThrow(DeviceError);
    await expect(WasmDevice.open({ threads: 1.5 })).rejects.toThrow(/expected a whole number/);
  });

  it("reports a kernel that runs out of memory's bounds, on whichever thread, and does not hang", async () => {
    for (const part of [0, 0.5, 0.99]) {
      const device = await WasmDevice.open({ threads: 2 });
      const n = 1 << 20;
      // So much of the pieces, which both threads take, lies within bounds.
      const x = device.floats.byteLength - Math.floor(part * n) * 4;
      expect(() => device.launch("combine", [x, x, 0, n, 1, 0])).toThrow(/got a trap.* in kernel combine/);
      expect(() => device.launch("combine", [0, 0, 0, 0, 1, 0])).toThrow(DeviceError);
      device.close();
    }
  });

  it("gives the same numbers after the kernels have been compiled anew by the optimising tier", async () => {
    const device = await WasmDevice.open({ threads: 1 });
    const random = new Random(3);
    const [a, b] = [
      [37, 130],
      [130, 70],
    ].map((shape) => tensor(device, shape, random.normals(sizeOf(shape)))) as [Tensor, Tensor];
    const plan = planOf("t d, d f -> t f", a.shape, b.shape);
    const out = new Tensor(device, plan.shape);
    contractWasm(plan, a, b, out, "set");
    const cold = await out.read();
    for (let i = 0; i < 2000; i++) contractWasm(plan, a, b, out, "set");
    expect(await out.read()).toEqual(cold);
    device.close();
  });
});
