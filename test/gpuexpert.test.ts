import { afterAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { addExperts } from "../src/ops/expert/few.ts";
import { contractEach, group } from "../src/ops/expert/index.ts";
import { Normed } from "../src/ops/norm/normed.ts";
import { route } from "../src/ops/route/index.ts";
import { Random } from "../src/tensor/random.ts";
import type { Device, Tensor } from "../src/tensor/tensor.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { openGpu } from "./fixture/gpu.ts";
import { packed } from "./fixture/packed.ts";
import { openScope } from "./fixture/scope.ts";

const gpu = await openGpu();
afterAll(() => {
  if (typeof gpu !== "string") gpu.close();
});

/** A router's weights: each token gives `perToken` of the experts a weight, or fewer, and some experts get none. */
function router(tokens: number, experts: number, perToken: number, random: Random): Float32Array {
  const weights = new Float32Array(tokens * experts);
  for (let row = 0; row < tokens; row++)
    for (let n = 0; n < perToken; n++) {
      const expert = random.integer(experts - 1);
      weights[row * experts + expert] = random.uniform() + 0.1;
    }
  return weights;
}

/** Tokens, experts, experts of a token, and the sizes of an expert: few entries each, many, and none at all. */
const cases = [
  { tokens: 1, experts: 8, perToken: 2, a: 64, b: 20 },
  { tokens: 7, experts: 8, perToken: 3, a: 40, b: 12 },
  { tokens: 150, experts: 5, perToken: 3, a: 33, b: 70 },
] as const;

if (typeof gpu === "string") test.skip(`experts on WebGPU, since ${gpu}`, () => {});
else {
  describe("experts on WebGPU", () => {
    test.each(["softmax", "sigmoid"] as const)("more experts than a workgroup has memory for, by %s", (scores) =>
      openScope(gpu, async () => {
        const logits = Float32Array.from(new Random(4).normals(3 * 200, 1));
        const choice = { scores, perToken: 6, groups: 4, perGroup: 2, normalised: true, factor: 2.5 };
        const run = (device: Device) => route(tensor(device, [3, 200], logits), choice).read();
        const { traits } = gpu;
        const { shared } = traits;
        // As if there were room for the scores of a few alone.
        Object.assign(traits, { shared: 4096 + 1024 });
        const got = await run(gpu);
        Object.assign(traits, { shared });
        const want = await openScope(new ReferenceDevice(), async () => run(new ReferenceDevice()));
        for (let i = 0; i < got.length; i++) expect(Math.abs(got[i]! - want[i]!)).toBeLessThan(1e-6);
        expect(got.filter((x) => x > 0).length).toBe(18);
      }),
    );

    test.each(cases)("$tokens tokens, $experts experts, [$a, $b] each", ({ tokens, experts, perToken, a, b }) =>
      openScope(gpu, async () => {
        const random = new Random(5);
        const weights = router(tokens, experts, perToken, random);
        const x = Float32Array.from(random.normals(tokens * perToken * a, 1));
        const w = Float32Array.from(random.normals(experts * a * b, 1));
        const on = async (device: Device) => {
          const visits = group(tensor(device, [tokens, experts], weights), perToken);
          const out = contractEach(
            tensor(device, [tokens * perToken, a], x),
            tensor(device, [experts, a, b], w),
            visits,
          );
          const { rows, weights: given, ends } = visits;
          return Promise.all([rows, given, ends, out].map((t) => t.read()));
        };
        const [expected, got] = [await on(new ReferenceDevice()), await on(gpu)];
        for (const i of [0, 1, 2]) expect([...got[i]!]).toEqual([...expected[i]!]);
        const entries = expected[2]!.at(-1)!;
        expect(entries).toBeGreaterThan(0);
        for (let i = 0; i < entries * b; i++)
          expect(Math.abs(got[3]![i]! - expected[3]![i]!)).toBeLessThan(a * 16 * 2 ** -24);
        // Nothing is written behind the last entry: unset memory is NaN.
        for (let i = entries * b; i < got[3]!.length; i++) expect(got[3]![i]).toBeNaN();
        // The same with two experts in a binding.
        const { traits } = gpu;
        const { binding } = traits;
        Object.assign(traits, { binding: 8 * a * b });
        const cut = await on(gpu).finally(() => Object.assign(traits, { binding }));
        expect([...cut[3]!.subarray(0, entries * b)]).toEqual([...got[3]!.subarray(0, entries * b)]);
      }),
    );

    const few = [
      { format: "plain", t: 1, f: 20, shared: 12, scores: "softmax", normed: true },
      // Groups, and logits some of which are equal: which is first decides.
      { format: "plain", t: 3, f: 36, shared: 0, scores: "sigmoid", normed: false, groups: 4 },
      { format: "plain", t: 4, f: 20, shared: 0, scores: "softmax", normed: false, groups: 3 },
      { format: "Q8_0", t: 2, f: 64, shared: 96, scores: "sigmoid", normed: true },
      { format: "Q4_K", t: 1, f: 256, shared: 256, scores: "softmax", normed: true },
      { format: "Q6_K", t: 8, f: 256, shared: 0, scores: "sigmoid", normed: true },
    ] as const;
    // A software GPU takes seconds to compile those with numbers of 4 bits.
    test.each(long ? few : few.slice(0, 4))(
      "$t tokens, the chosen of $format and the shared one in two launches, or three where there are no subgroups",
      (drawn) =>
        openScope(gpu, async () => {
          const { format, t, f, shared, scores, normed } = drawn;
          const random = new Random(3);
          const groups = "groups" in drawn ? drawn.groups : 1;
          const [x, d] = [groups > 1 ? 12 : 7, format === "plain" ? 20 : 256];
          const weight = async (letters: readonly string[], order: string, sizes: Record<string, number>) => {
            const shape = letters.map((letter) => sizes[letter]!);
            const size = shape.reduce((product, n) => product * n, 1);
            if (format !== "plain") return packed(gpu, format, letters, { spec: "", order, sizes }, random);
            const numbers = Float32Array.from(random.normals(size, 0.2));
            return { t: tensor(gpu, shape, numbers), numbers };
          };
          const [a, b] = [1, 2].map(() => weight(["x", "d", "f"], "x f | d", { x, d, f }));
          const [gate, up] = [await a!, await b!];
          const down = await weight(["x", "f", "d"], "x d | f", { x, d, f });
          const common = shared ? await weight(["f", "d"], "d | f", { d, f: shared }) : undefined;
          const draw = (shape: readonly number[], at = 0) =>
            Float32Array.from(random.normals(shape.reduce((n, m) => n * m, 1)).map((n) => at + n));
          const [rows, gain, logits, bias] = [draw([t, d]), draw([d], 1), draw([t, x]), draw([x])];
          const [inner, into] = [draw([t, shared]), draw([t, d])];
          if (groups > 1) for (let i = 0; i < logits.length; i++) logits[i] = Math.round(2 * logits[i]!) / 2;
          if (groups > 1) bias.fill(0.25);
          const choice = {
            scores,
            perToken: 3,
            groups,
            perGroup: Math.ceil(groups / 2),
            normalised: true,
            factor: 1.5,
          };
          const on = async (device: Device, of: (w: typeof gate) => Tensor) => {
            const xs = tensor(device, [t, d], rows);
            const residual = { into: tensor(device, [t, d], into), by: 0.5 };
            const own = common && { inner: tensor(device, [t, shared], inner), down: of(common) };
            const made = { gate: of(gate), up: of(up), down: of(down), shared: own };
            const operands = {
              x: normed ? Normed.of(xs, tensor(device, [d], gain), 1e-5) : xs,
              logits: tensor(device, [t, x], logits),
              bias: scores === "sigmoid" ? tensor(device, [x], bias) : undefined,
            };
            const before = device === gpu ? gpu.counts.launches : 0;
            addExperts({ ...operands, choice, ...made }, residual);
            if (device === gpu) expect(gpu.counts.launches - before).toBe(gpu.traits.subgroup ? 2 : 3);
            return residual.into.read();
          };
          const reference = new ReferenceDevice();
          const expected = await openScope(reference, () =>
            on(reference, (w) => tensor(reference, w.t.shape, w.numbers)),
          );
          const got = await on(gpu, (w) => w.t);
          const size = Math.max(...expected.map(Math.abs));
          // Sums of d and of f products, each rounded, of numbers that are as large as the result where they add up.
          for (let i = 0; i < got.length; i++)
            expect(Math.abs(got[i]! - expected[i]!)).toBeLessThan(size * 64 * 2 ** -24);
        }),
    );

    test.each([2, 60])("packed experts, %i tokens", (tokens) =>
      openScope(gpu, async () => {
        const random = new Random(9);
        const [experts, a, b] = [6, 256, 19];
        const shape = { spec: "", order: "x b | a", sizes: { x: experts, a, b } };
        const { t: w, numbers } = await packed(gpu, "Q4_K", ["x", "a", "b"], shape, random);
        const weights = router(tokens, experts, 2, random);
        const x = Float32Array.from(random.normals(tokens * 2 * a, 1));
        const visits = group(tensor(gpu, [tokens, experts], weights), 2);
        const got = await contractEach(tensor(gpu, [tokens * 2, a], x), w, visits).read();
        const ends = await visits.ends.read();
        let worst = 0;
        for (let i = 0; i < ends.at(-1)!; i++) {
          const expert = ends.findIndex((end) => i < end);
          for (let column = 0; column < b; column++) {
            let [sum, size] = [0, 0];
            for (let k = 0; k < a; k++) {
              const product = x[i * a + k]! * numbers[(expert * a + k) * b + column]!;
              sum += product;
              size += Math.abs(product);
            }
            worst = Math.max(worst, Math.abs(got[i * b + column]! - sum) / size);
          }
        }
        expect(ends.at(-1)).toBeGreaterThan(0);
        expect(worst).toBeLessThan(64 * 2 ** -24);
      }),
    );
  });
}
