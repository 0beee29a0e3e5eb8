import fc from "fast-check";
import { add, addBias, reshape, scaled } from "../../src/ops/add/index.ts";
import { attend, type Term } from "../../src/ops/attend/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { gather } from "../../src/ops/embed/index.ts";
import { gate } from "../../src/ops/gate/index.ts";
import { crossEntropy } from "../../src/ops/loss/index.ts";
import { rmsNorm } from "../../src/ops/norm/index.ts";
import { adamw, squares } from "../../src/ops/optimise/index.ts";
import { rope, rotation } from "../../src/ops/rope/index.ts";
import { route } from "../../src/ops/route/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { sizeOf, Tensor } from "../../src/tensor/tensor.ts";
import { continuedProgram, ruleProgram, rules } from "./rule.ts";
import { operand, type Program } from "./subject.ts";

/** An op under test: what to draw (plain values, which fast-check can shrink and print), and the program that calls it once. */
export interface Op {
  readonly draw: fc.Arbitrary<Drawn<unknown>>;
  make(drawn: Drawn<unknown>): Program;
}

interface Drawn<T> {
  readonly sizes: T;
  readonly seed: number;
}

function op<T>(sizes: fc.Arbitrary<T>, make: (sizes: T, random: Random) => Program): Op {
  return {
    draw: fc.record({ sizes, seed: fc.nat(2 ** 31 - 1) }),
    make: ({ sizes, seed }) => make(sizes as T, new Random(seed)),
  };
}

const small = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 17);
const rare = fc.oneof({ weight: 12, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(33, 64, 65) });
/** `[t, ..., e]`, with one axis between or none. */
const vectors = fc
  .tuple(rare, fc.constantFrom<readonly number[]>([], [], [2], [3]), rare)
  .map(([t, middle, e]) => [t, ...middle, e] as const);

/** Any contraction: up to two letters of each of the four kinds, in any order in each operand. */
const contraction = op(
  fc
    .record({
      batch: fc.array(fc.constantFrom(1, 2, 3), { maxLength: 2 }),
      m: fc.array(rare, { maxLength: 2 }),
      n: fc.array(rare, { maxLength: 2 }),
      k: fc.array(rare, { maxLength: 2 }),
    })
    .filter((kinds) => sizeOf(Object.values(kinds).flat()) <= 20_000),
  (kinds, random) => {
    const letters = Object.entries(kinds).flatMap(([kind, list]) =>
      list.map((size, i) => ({ kind, name: `${kind}${i}`, size })),
    );
    const side = (...of: string[]) =>
      letters
        .filter(({ kind }) => of.includes(kind))
        .map((letter) => ({ ...letter, key: random.uniform() }))
        .sort((a, b) => a.key - b.key);
    const [a, b, c] = [side("batch", "m", "k"), side("batch", "n", "k"), side("batch", "m", "n")];
    const spec = (list: typeof a) => list.map(({ name }) => name).join(" ");
    const shape = (list: typeof a) => list.map(({ size }) => size);
    return {
      inputs: [operand("a", shape(a), random), operand("b", shape(b), random)],
      run: ([x, y]) => einsum(`${spec(a)}, ${spec(b)} -> ${spec(c)}`, x!, y!),
    };
  },
);

const width = fc.constantFrom(1, 2, 3, 5, 8, 17);
const rows = { e: width, share: fc.nat(3), flat: fc.boolean() };

/** Any attention: several terms and values, per head, per group or shared, values that are keys, masks, lengths. */
const attention = op(
  fc.record({
    h: fc.constantFrom(1, 2, 3, 4, 6),
    lengths: fc.oneof(
      { weight: 14, arbitrary: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 12 })) },
      { weight: 1, arbitrary: fc.constantFrom([1, 260], [2, 97], [33, 100], [70, 70]) },
    ),
    batch: fc.constantFrom(1, 1, 2),
    terms: fc.array(fc.record(rows), { minLength: 1, maxLength: 4 }),
    values: fc.array(fc.record({ ...rows, key: fc.option(fc.nat(3), { nil: undefined }) }), {
      minLength: 1,
      maxLength: 2,
    }),
    causal: fc.constantFrom(true, true, false),
    window: fc.constantFrom(undefined, undefined, 1, 2, 5, 40),
  }),
  ({ h, lengths: [t = 1, s = 1], batch, terms, values, causal, window }, random) => {
    const divisors = [1, h, 2, 3].filter((g) => h % g === 0);
    const laid = (name: string, { e, share, flat }: (typeof terms)[number]) => {
      const g = divisors[share % divisors.length]!;
      // A key that all heads share may be written with or without its axis of length 1.
      return operand(name, g === 1 && flat ? [batch * s, e] : [batch * s, g, e], random);
    };
    const queries = terms.map(({ e }, i) => operand(`q${i}`, [batch * t, h, e], random));
    const keys = terms.map((term, i) => laid(`k${i}`, term));
    const own = values.flatMap((value, i) => (value.key === undefined ? [laid(`v${i}`, value)] : []));
    const scale = 1 / Math.sqrt(terms.reduce((sum, { e }) => sum + e, 0));
    return {
      inputs: [...queries, ...keys, ...own],
      scale,
      run(tensors) {
        const n = terms.length;
        const rest = tensors.slice(2 * n);
        const list = values.map(({ key }) => (key === undefined ? rest.shift()! : tensors[n + (key % n)]!));
        const pairs = terms.map((_, i): Term => [tensors[i]!, tensors[n + i]!]);
        return attend(list, { scale, batch, causal, ...(window ? { window } : {}) }, ...pairs);
      },
    };
  },
);

const rotated = op(
  fc.record({
    shape: vectors,
    layout: fc.constantFrom("interleaved" as const, "half" as const),
    direction: fc.constantFrom("forward" as const, "inverse" as const),
    part: fc.nat(100),
  }),
  ({ shape, layout, direction, part }, random) => {
    const pairs = part % (Math.floor(shape.at(-1)! / 2) + 1);
    const turn = rotation(2 * pairs, 10000, layout);
    const positions = Int32Array.from({ length: shape[0]! }, () => random.integer(1000));
    return { inputs: [operand("x", shape, random)], run: ([x]) => rope(x!, turn, positions, direction) };
  },
);

/** The ops that gradients flow through. */
export const differentiable: Readonly<Record<string, Op>> = {
  einsum: contraction,
  attend: attention,
  delta: op(rules, ruleProgram),
  rope: rotated,
  rmsNorm: op(fc.record({ shape: vectors, gain: fc.boolean() }), ({ shape, gain }, random) => ({
    inputs: [operand("x", shape, random), ...(gain ? [operand("gain", [shape.at(-1)!], random, 0.5, 1)] : [])],
    run: ([x, g]) => rmsNorm(x!, g),
  })),
  gather: op(fc.record({ rows: small, width: rare, count: rare }), ({ rows, width, count }, random) => {
    const ids = Int32Array.from({ length: count }, () => random.integer(rows));
    return { inputs: [operand("table", [rows, width], random)], run: ([table]) => gather(table!, ids) };
  }),
  gate: op(vectors, (shape, random) => ({
    inputs: [operand("a", shape, random, 3), operand("b", shape, random)],
    run: ([a, b]) => gate(a!, b!),
  })),
  crossEntropy: op(fc.record({ rows: rare, vocabulary: rare }), ({ rows, vocabulary }, random) => {
    // Some targets are negative, and not counted; one at least is.
    const targets = Int32Array.from({ length: rows }, () => random.integer(vocabulary + 2) - 2);
    targets[random.integer(rows)] = random.integer(vocabulary);
    return {
      inputs: [operand("logits", [rows, vocabulary], random, 2)],
      run: ([logits]) => crossEntropy(logits!, targets),
    };
  }),
  add: op(fc.record({ shape: vectors, same: fc.boolean() }), ({ shape, same }, random) => ({
    inputs: [operand("a", shape, random), ...(same ? [] : [operand("b", shape, random)])],
    run: ([a, b]) => add(a!, b ?? a!),
  })),
  addBias: op(vectors, (shape, random) => ({
    inputs: [operand("x", shape, random), operand("bias", shape.slice(1), random)],
    run: ([x, bias]) => addBias(x!, bias),
  })),
  scaled: op(vectors, (shape, random) => {
    const factor = Math.fround(random.normal());
    return { inputs: [operand("x", shape, random)], run: ([x]) => scaled(x!, factor) };
  }),
  reshape: op(vectors, (shape, random) => ({
    inputs: [operand("x", shape, random)],
    run: ([x]) => scaled(reshape(x!, shape.toReversed()), 3),
  })),
};

/** The ops that no tape records: a routing's choice, and an optimiser's step. */
export const unrecorded: Readonly<Record<string, Op>> = {
  route: op(fc.record({ rows: rare, groups: fc.integer({ min: 1, max: 4 }), size: small }), (drawn, random) => {
    const { rows, groups, size } = drawn;
    const perGroup = 1 + random.integer(groups);
    const choice = { perToken: 1 + random.integer(size * perGroup), groups, perGroup, factor: 1.5 };
    return {
      inputs: [operand("logits", [rows, groups * size], random)],
      steps: 8,
      run: ([logits]) => route(logits!, choice),
    };
  }),
  deltaContinued: op(rules, continuedProgram),
  squares: op(vectors, (shape, random) => ({
    inputs: [operand("x", shape, random)],
    steps: Math.sqrt(sizeOf(shape)) + 2,
    run([x]) {
      const out = new Tensor(x!.device, [3]).write([0, 0, 0]);
      squares(x!, out, 1);
      return out;
    },
  })),
  adamw: op(fc.record({ shape: vectors, maxNorm: fc.constantFrom(1, 1e6) }), ({ shape, maxNorm }, random) => {
    const inputs = ["p", "g", "m", "v"].map((name) => operand(name, shape, random));
    inputs[3]!.values.forEach((x, i, v) => {
      v[i] = Math.fround(x * x + 0.01);
    });
    const moments = { beta1: 0.9, beta2: 0.95, correction1: 0.3, correction2: 0.2 };
    return {
      inputs,
      steps: 8,
      run([p, g, m, v]) {
        const sums = new Tensor(p!.device, [1]);
        squares(g!, sums, 0);
        adamw(p!, g!, m!, v!, sums, { ...moments, rate: 0.01, eps: 1e-8, decay: 0.1, maxNorm });
        return p!;
      },
    };
  }),
};
