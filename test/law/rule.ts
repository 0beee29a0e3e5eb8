import fc from "fast-check";
import { delta } from "../../src/ops/delta/index.ts";
import type { Random } from "../../src/tensor/random.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { onto, operand, type Program } from "./subject.ts";

const small = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 17);
const rare = fc.oneof({ weight: 12, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(33, 64, 65) });

/** The gated delta rule: all three kinds of decay (strong ones too), shared keys, a state before, either algorithm. */
export const rules = fc.record({
  g: fc.constantFrom(1, 1, 2, 3),
  share: fc.constantFrom(1, 1, 2, 3),
  t: fc.oneof({ weight: 14, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(31, 32, 33, 65, 100) }),
  n: rare,
  v: rare,
  batch: fc.constantFrom(1, 1, 2),
  decay: fc.constantFrom("channel", "channel", "head", "none"),
  strength: fc.constantFrom(0.01, 0.3, 3, 100),
  state: fc.boolean(),
  by: fc.constantFrom("recurrent" as const, "chunked" as const),
});

type Rules = typeof rules extends fc.Arbitrary<infer T> ? T : never;

/** Its numbers, and the state before it. */
function ruled({ g, share, t, n, v, batch, decay, strength, state }: Rules, random: Random) {
  const [h, rows, scale] = [g * share, batch * t, n ** -0.5];
  // Keys of about unit length and beta in 0..1, as in use: others would make the state explode.
  const beta = operand("beta", [rows, h], random);
  beta.values.forEach((x, i, all) => {
    all[i] = Math.fround(1 / (1 + Math.exp(-x)));
  });
  const logs =
    decay === "none" ? [] : [operand("decay", decay === "head" ? [rows, h] : [rows, h, n], random, strength)];
  for (const { values } of logs)
    values.forEach((x, i) => {
      values[i] = -Math.abs(x);
    });
  const own = [
    operand("q", [rows, g, n], random),
    operand("k", [rows, g, n], random, scale),
    operand("v", [rows, h, v], random),
  ];
  return {
    scale,
    inputs: [...own, beta, ...logs],
    start: state ? operand("state", [batch, h, n, v], random) : undefined,
  };
}

/** The rule over whole sequences. */
export function ruleProgram(sizes: Rules, random: Random): Program {
  const { scale, inputs, start } = ruled(sizes, random);
  const { batch, by } = sizes;
  return {
    inputs,
    scale,
    run([q, k, v, beta, decay]) {
      const state = start && onto(q!.device, start);
      return delta({ q: q!, k: k!, v: v!, beta: beta!, decay }, { scale, batch, state, by });
    },
  };
}

/** One sequence in two calls, the state handed on in place; the first call may have no tokens. */
export function continuedProgram(sizes: Rules, random: Random): Program {
  const { scale, inputs, start } = ruled({ ...sizes, batch: 1 }, random);
  const { t, g, share, n, v, by } = sizes;
  const cut = random.integer(t);
  return {
    inputs,
    scale,
    // The state's rounding, which the second call knows nothing of.
    steps: 2 * (Math.sqrt(n + t) + 2),
    run(tensors) {
      const { device } = tensors[0]!;
      const kept = start ? onto(device, start) : new Tensor(device, [1, g * share, n, v]);
      const part = (from: number, to: number, state: Tensor | undefined) => {
        const [q, k, values, beta, decay] = tensors.map((x) => x.rows(from, to));
        return delta({ q: q!, k: k!, v: values!, beta: beta!, decay }, { scale, state, final: kept, by });
      };
      part(0, cut, start && kept);
      return part(cut, t, kept);
    },
  };
}
