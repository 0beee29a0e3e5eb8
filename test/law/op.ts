import fc from "fast-check";
import { accumulate } from "../../src/ops/accumulate/index.ts";
import { add, reshape, scaleBy } from "../../src/ops/add/index.ts";
import { attend, type Term } from "../../src/ops/attend/index.ts";
import { addBias } from "../../src/ops/bias/index.ts";
import { blend } from "../../src/ops/blend/index.ts";
import { conv } from "../../src/ops/conv/index.ts";
import { type Short, shorts } from "../../src/ops/conv/short.ts";
import { divergence } from "../../src/ops/divergence/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { gather, gatherRows } from "../../src/ops/embed/index.ts";
import { attendFactored } from "../../src/ops/factored/index.ts";
import { gate } from "../../src/ops/gate/index.ts";
import { leaders } from "../../src/ops/leaders/index.ts";
import { crossEntropy } from "../../src/ops/loss/index.ts";
import { type Mapping, map } from "../../src/ops/map/index.ts";
import { merge } from "../../src/ops/merge/index.ts";
import { multiply } from "../../src/ops/multiply/index.ts";
import { gatedNorm, rmsNorm } from "../../src/ops/norm/index.ts";
import { Normed } from "../../src/ops/norm/normed.ts";
import { adamw, squares } from "../../src/ops/optimise/index.ts";
import { previous } from "../../src/ops/previous/index.ts";
import { addProduct, type Factor, gatedProduct, products, productsOf } from "../../src/ops/products/index.ts";
import { ready } from "../../src/ops/ready/index.ts";
import { rope, rotation } from "../../src/ops/rope/index.ts";
import { route } from "../../src/ops/route/index.ts";
import { select } from "../../src/ops/select/index.ts";
import { Joined } from "../../src/tensor/joined.ts";
import { Random } from "../../src/tensor/random.ts";
import { sizeOf, Tensor, tensor } from "../../src/tensor/tensor.ts";
import { continuedProgram, ruleProgram, rules } from "./rule.ts";
import { onto, operand, type Program } from "./subject.ts";

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

/** Now and then so much that threads share it, in several strips, blocks and runs. */
const sizable = fc.oneof(
  { weight: 25, arbitrary: vectors },
  { weight: 1, arbitrary: fc.constantFrom([33, 520], [70, 2, 120], [280, 60], [600, 3, 11], [4, 4200]) },
);

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
    start: fc.boolean(),
    kind: fc.constantFrom("softmax" as const, "sinks" as const, "stick" as const),
    choice: fc.constantFrom(0, 0, 1, 3, 8, 20),
    stick: fc.record({ current: fc.boolean(), remainder: fc.boolean() }),
  }),
  (
    { h, lengths: [t = 1, s = 1], batch, terms, values, causal: either, window, start, kind, choice, stick },
    random,
  ) => {
    const causal = either || kind === "stick";
    const first = Array.from({ length: batch }, () => random.integer(Math.min(s, 5) + 1));
    const divisors = [1, h, 2, 3].filter((g) => h % g === 0);
    const laid = (name: string, { e, share, flat }: (typeof terms)[number]) => {
      const g = divisors[share % divisors.length]!;
      // A key that all heads share may be written with or without its axis of length 1.
      return operand(name, g === 1 && flat ? [batch * s, e] : [batch * s, g, e], random);
    };
    const queries = terms.map(({ e }, i) => operand(`q${i}`, [batch * t, h, e], random));
    const keys = terms.map((term, i) => laid(`k${i}`, term));
    const own = values.flatMap((value, i) => (value.key === undefined ? [laid(`v${i}`, value)] : []));
    const chosen = Array.from({ length: kind === "stick" ? 0 : batch * t }, () => {
      const rows = Array.from({ length: s }, (_, j) => j).filter(() => random.uniform() < 0.5);
      const few = rows.slice(0, choice);
      return [...Array.from({ length: choice - few.length }, () => -1), ...few];
    });
    const sinks = kind === "sinks" ? [operand("sinks", [h], random)] : [];
    const scale = 1 / Math.sqrt(terms.reduce((sum, { e }) => sum + e, 0));
    return {
      inputs: [...queries, ...keys, ...own, ...sinks],
      scale,
      run(tensors) {
        const n = terms.length;
        const rest = tensors.slice(2 * n);
        const list = values.map(({ key }) => (key === undefined ? rest.shift()! : tensors[n + (key % n)]!));
        const pairs = terms.map((_, i): Term => [tensors[i]!, tensors[n + i]!]);
        const view = {
          scale,
          batch,
          causal,
          ...(window ? { window } : {}),
          ...(start ? { start: tensor(tensors[0]!.device, [batch], first) } : {}),
          ...(choice && kind !== "stick"
            ? { chosen: tensor(tensors[0]!.device, [batch * t, choice], chosen.flat()) }
            : {}),
          ...(kind === "sinks" ? { sinks: rest[0]! } : {}),
          ...(kind === "stick" ? { stick } : {}),
        };
        return attend(list, view, ...pairs);
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

/** Products of one tensor, whose norm it may be: their weights lie either way, some have a bias, two may gate each other. */
const productSizes = fc.record({
  t: rare,
  d: fc.oneof(rare, fc.constantFrom(4, 16, 68)),
  widths: fc.array(fc.oneof(rare, fc.constantFrom(4, 8, 12, 1028)), { minLength: 1, maxLength: 4 }),
  biases: fc.nat(15),
  down: fc.boolean(),
  normed: fc.boolean(),
});

type ProductSizes = typeof productSizes extends fc.Arbitrary<infer T> ? T : never;

function productOperands({ t, d, widths, biases, down, normed }: ProductSizes, random: Random) {
  const inputs = [
    operand("x", [t, d], random),
    ...(normed ? [operand("gain", [d], random, 0.5, 1)] : []),
    ...widths.map((n, i) => operand(`w${i}`, down ? [d, n] : [n, d], random)),
    ...widths.flatMap((n, i) => ((biases >> i) & 1 ? [operand(`b${i}`, [n], random)] : [])),
  ];
  const factorsOf = (tensors: readonly Tensor[]) => {
    const rest = tensors.slice(widths.length);
    return widths.map((_, i): Factor => {
      const spec = down ? "t d, d n -> t n" : "t d, n d -> t n";
      return [spec, tensors[i]!, (biases >> i) & 1 ? rest.shift()! : undefined];
    });
  };
  const split = (tensors: readonly Tensor[]): [Tensor, Factor[]] => {
    const [x, gain] = tensors;
    return [normed ? Normed.of(x!, gain!, 1e-6) : x!, factorsOf(tensors.slice(normed ? 2 : 1))];
  };
  return { inputs, split };
}

const severalProducts = op(productSizes, (sizes, random) => {
  const { inputs, split } = productOperands(sizes, random);
  const shares = sizes.widths.map((n, i) => operand(`share${i}`, [n, 2], random));
  return {
    inputs,
    run(tensors) {
      const [x, factors] = split(tensors);
      // All results in one: a share of each.
      return products(x, ...factors)
        .map((y, i) => einsum("t n, n s -> t s", y, onto(x.device, shares[i]!)))
        .reduce((sum, y) => add(sum, y));
    },
  };
});

const gatedProducts = op(productSizes, (sizes, random) => {
  const { inputs, split } = productOperands({ ...sizes, widths: [sizes.widths[0]!, sizes.widths[0]!] }, random);
  return {
    inputs,
    run(tensors) {
      const [x, [a, b]] = split(tensors);
      return gatedProduct(x, a!, b!);
    },
  };
});

const addedProduct = op(
  fc.record({ sizes: productSizes, by: fc.constantFrom(1, 1, 0.5, -2) }),
  ({ sizes, by }, random) => {
    const widths = sizes.widths.slice(0, 1);
    const { inputs, split } = productOperands({ ...sizes, widths }, random);
    const into = operand("into", [sizes.t, widths[0]!], random);
    return {
      inputs: [...inputs, into],
      // A sum of d products, and what it is added to.
      steps: 8 + 2 * Math.sqrt(sizes.d),
      run(tensors) {
        const [x, [factor]] = split(tensors.slice(0, -1));
        return addProduct(x, factor!, { into: tensors.at(-1)!, by });
      },
    };
  },
);

/** Vectors of several tensors, of which some are normed and some turned. */
const finished = op(
  fc.record({
    t: rare,
    list: fc.array(
      fc.record({
        middle: fc.constantFrom<readonly number[]>([], [2], [3]),
        e: rare,
        gain: fc.nat(2),
        biased: fc.boolean(),
        turned: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    layout: fc.constantFrom("interleaved" as const, "half" as const),
    part: fc.nat(100),
  }),
  ({ t, list, layout, part }, random) => {
    const narrow = Math.min(...list.flatMap(({ e, turned }) => (turned ? [e] : [])), 64);
    const turn = rotation(2 * (part % (Math.floor(narrow / 2) + 1)), 10000, layout);
    const positions = Int32Array.from({ length: t }, () => random.integer(1000));
    const shares = list.map(({ middle, e }, i) => operand(`share${i}`, [sizeOf(middle) * e, 2], random));
    // The norm of a layer is one of whole rows, and of one number it is the bias.
    const biased = list.map(({ middle, e, gain, biased }) => biased && gain === 1 && middle.length === 0 && e > 1);
    return {
      inputs: [
        ...list.map(({ middle, e }, i) => operand(`x${i}`, [t, ...middle, e], random)),
        // No gain, one over the last axis, or one for each head's numbers.
        ...list.flatMap(({ middle, e, gain }, i) =>
          gain ? [operand(`gain${i}`, gain === 1 ? [e] : [...middle, e], random, 0.5, 1)] : [],
        ),
        ...list.flatMap(({ e }, i) => (biased[i] ? [operand(`bias${i}`, [e], random)] : [])),
      ],
      run(tensors) {
        const gains = tensors.slice(list.length);
        const biases = gains.splice(list.filter(({ gain }) => gain).length);
        const raw = list.map(({ gain, turned }, i) => ({
          x: tensors[i]!,
          gain: gain ? gains.shift() : undefined,
          bias: biased[i] ? biases.shift() : undefined,
          turned,
        }));
        return ready({ rotation: turn, positions }, ...raw)
          .map((y, i) => {
            const { middle, e } = list[i]!;
            return einsum("t a, a s -> t s", reshape(y, [t, sizeOf(middle) * e]), onto(y.device, shares[i]!));
          })
          .reduce((sum, y) => add(sum, y));
      },
    };
  },
);

/** Rows whose numbers stand on the device: some negative, none beyond the table, in one part or several. */
const gathered = op(
  fc.record({ rows: small, width: rare, perPart: rare, batch: fc.constantFrom(1, 1, 2, 3) }),
  ({ rows, width, perPart, batch }, random) => {
    const numbers = Int32Array.from({ length: batch * perPart }, () => random.integer(rows + 2) - 2);
    return {
      inputs: [operand("table", [batch * rows, width], random)],
      run: ([table]) => gatherRows(table!, tensor(table!.device, [batch, perPart], numbers), { batch }),
    };
  },
);

const mapped = (by: Mapping) =>
  op(sizable, (shape, random) => {
    const { values } = operand("x", shape, random, 3);
    // Away from where relu bends: there its derivative is no difference.
    const away = by === "relu" ? values.map((x) => Math.fround(x + Math.sign(x) / 16)) : values;
    return { inputs: [{ name: "x", shape, values: away }], run: ([x]) => map(x!, by) };
  });

const multiplied = op(
  fc.record({ shape: sizable, axis: fc.nat(2), rank: fc.nat(3) }),
  ({ shape, axis, rank }, random) => {
    const from = axis % shape.length;
    const over = shape.slice(from, from + 1 + (rank % (shape.length - from)));
    return {
      inputs: [operand("a", shape, random), operand("b", over, random)],
      run: ([a, b]) => multiply(a!, b!, from),
    };
  },
);

/**
 * Attention over factors, one of them at least with a row for each token. Off the tape its output comes from kernels of its
 * own; it is held to the bound of what the tape records, which builds keys and values.
 */
const attentionOfFactors = op(
  fc.record({
    h: fc.constantFrom(1, 2, 3, 5, 8),
    lengths: fc.oneof(
      { weight: 14, arbitrary: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 12 })) },
      { weight: 1, arbitrary: fc.constantFrom([1, 260], [2, 97], [20, 70]) },
    ),
    batch: fc.constantFrom(1, 1, 2),
    widths: fc.tuple(width, width),
    ranks: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
    fixed: fc.constantFrom(0, 0, 1, 2, 3, 4, 6, 7, 8, 11, 12),
    causal: fc.constantFrom(true, true, false),
    window: fc.constantFrom(undefined, undefined, 1, 2, 5, 40),
  }),
  ({ h, lengths: [t = 1, s = 1], batch, widths: [e, v], ranks: [R, P], fixed, causal, window }, random) => {
    const factor = (i: number, name: string, shape: readonly number[]) =>
      operand(name, (fixed >> i) & 1 ? shape : [batch * s, ...shape], random);
    const scale = 1 / Math.sqrt(R * e);
    return {
      inputs: [
        operand("q", [batch * t, h, e], random),
        factor(0, "ak", [h, R]),
        factor(1, "bk", [R, e]),
        factor(2, "av", [h, P]),
        factor(3, "bv", [P, v]),
      ],
      scale,
      run: ([q, ak, bk, av, bv]) =>
        attendFactored(
          { q: q!, ak: ak!, bk: bk!, av: av!, bv: bv! },
          { scale, batch, causal, ...(window ? { window } : {}) },
        ),
    };
  },
);

/** Sequences `[batch t, ...]`; one alone may carry something over. */
const sequences = fc.record({ shape: sizable, batch: fc.constantFrom(1, 1, 2, 3), carried: fc.boolean() });

/** A sum or a shift along tokens, given x, the number of sequences, and what is carried over. */
const along = (call: (x: Tensor, batch: number, carried: Tensor | undefined) => Tensor) =>
  op(sequences, ({ shape: [t = 1, ...rest], batch, carried }, random) => {
    const state = carried && batch === 1 ? operand("state", rest, random) : undefined;
    return {
      inputs: [operand("x", [batch * t, ...rest], random)],
      run: ([x]) => call(x!, batch, state && onto(x!.device, state)),
    };
  });

const convolved = op(
  fc.record({ sequences, width: fc.constantFrom(4, 4, 2, 3, 5, 6, 7, 8), bias: fc.boolean() }),
  ({ sequences: { shape, batch, carried }, width, bias }, random) => {
    const [t = 1, ...channels] = shape;
    const before = carried && batch === 1 ? operand("before", [width - 1, ...channels], random) : undefined;
    return {
      inputs: [
        operand("x", [batch * t, ...channels], random),
        operand("w", [...channels, width], random),
        ...(bias ? [operand("bias", channels, random)] : []),
      ],
      run: ([x, w, b]) => conv(x!, w!, { bias: b, batch, before: before && onto(x!.device, before) }),
    };
  },
);

/** Products of two tensors, what becomes of them, and a pair that gates: all in one. */
const productsOfTwo = op(
  fc.record({
    t: rare,
    depths: fc.tuple(fc.constantFrom(4, 8, 20), fc.constantFrom(4, 8, 36)),
    heads: fc.constantFrom(1, 2, 3),
    n: fc.constantFrom(1, 4, 8),
    afters: fc.array(
      fc.record({
        by: fc.constantFrom("sigmoid" as const, "silu" as const, "softplus" as const),
        times: fc.constantFrom(undefined, -1, 2.5),
        rate: fc.constantFrom("none", "inside", "outside"),
        biased: fc.boolean(),
      }),
      { minLength: 2, maxLength: 2 },
    ),
    down: fc.boolean(),
  }),
  ({ t, depths, heads, n, afters, down }, random) => {
    const shapes = depths.map((d) => (down ? [d, heads, n] : [heads, n, d]));
    const spec = down ? "t d, d h n -> t h n" : "t d, h n d -> t h n";
    return {
      inputs: [
        ...depths.map((d, i) => operand(`x${i}`, [t, d], random)),
        ...[0, 1, 0, 0].map((from, i) => operand(`w${i}`, shapes[from]!, random)),
        ...afters.map((_, i) => operand(`rate${i}`, [heads], random, 0.5)),
        ...afters.map((_, i) => operand(`bias${i}`, [heads, n], random)),
      ],
      steps: 24,
      run([x0, x1, w0, w1, w2, w3, ...rest]) {
        const factor = (w: Tensor, i: number): Factor => {
          const { by, times, rate, biased } = afters[i]!;
          const after = { by, times, rate: rate === "none" ? undefined : rest[i], inside: rate === "inside" };
          return [spec, w, biased ? rest[2 + i] : undefined, after];
        };
        const [a, b, c] = productsOf(
          { x: x0!, of: [factor(w0!, 0)] },
          { x: x1!, of: [factor(w1!, 1)] },
          {
            x: x0!,
            of: [
              [spec, w2!],
              [spec, w3!],
            ],
          },
        );
        return add(add(a, b), c);
      },
    };
  },
);

/** Short convolutions of several tensors, of sequences that may differ in length, and then of what comes after. */
const shortened = op(
  fc.record({
    lengths: fc.array(fc.constantFrom(1, 1, 2, 5, 8, 9), { minLength: 1, maxLength: 3 }),
    h: fc.constantFrom(1, 2, 3),
    n: fc.constantFrom(1, 3, 8, 65),
    width: fc.integer({ min: 2, max: 8 }),
    list: fc.array(fc.record({ bias: fc.boolean(), unit: fc.boolean() }), { minLength: 1, maxLength: 4 }),
    carried: fc.boolean(),
  }),
  ({ lengths, h, n, width, list, carried }, random) => {
    const t = lengths.reduce((sum, length) => sum + length, 0);
    const draw = (name: string, shape: number[], spread?: number) => operand(name, [...shape], random, spread);
    const tails = list.map((_, i) => lengths.map((_, j) => draw(`tail${i} ${j}`, [width - 1, h, n])));
    return {
      inputs: list.flatMap((_, i) => [
        draw(`x${i}`, [t, h, n]),
        draw(`w${i}`, [h, n, width]),
        draw(`bias${i}`, [h, n]),
      ]),
      steps: 24,
      run(tensors) {
        const before = tails.map((of) => Joined.of(of.map((tail) => onto(tensors[0]!.device, tail))));
        const all = list.map(({ bias, unit }, i): Short => {
          const [x, w, b] = tensors.slice(3 * i, 3 * i + 3);
          return { x: x!, w: w!, bias: bias ? b : undefined, before: carried ? before[i] : undefined, unit };
        });
        const batch = lengths.length === 1 ? 1 : lengths;
        return [...shorts(all, batch), ...shorts(all, batch)].reduce((sum, y) => add(sum, y));
      },
    };
  },
);

/** The ops that gradients flow through. */
export const differentiable: Readonly<Record<string, Op>> = {
  einsum: contraction,
  attend: attention,
  delta: op(rules, ruleProgram),
  products: severalProducts,
  gatedProduct: gatedProducts,
  ready: finished,
  rope: rotated,
  rmsNorm: op(fc.record({ shape: sizable, axes: fc.constantFrom(0, 1, 1, 2) }), ({ shape, axes }, random) => {
    // No gain, one over the last axis, or one over all axes but the first.
    const over = shape.length > 2 ? shape.slice(-axes) : shape.slice(-1);
    return {
      inputs: [operand("x", shape, random), ...(axes ? [operand("gain", over, random, 0.5, 1)] : [])],
      run: ([x, g]) => rmsNorm(x!, g),
    };
  }),
  gather: op(fc.record({ rows: small, width: rare, count: rare }), ({ rows, width, count }, random) => {
    const ids = Int32Array.from({ length: count }, () => random.integer(rows));
    return { inputs: [operand("table", [rows, width], random)], run: ([table]) => gather(table!, ids) };
  }),
  gatherRows: gathered,
  attendFactored: attentionOfFactors,
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
  divergence: op(fc.record({ rows: rare, vocabulary: rare }), ({ rows, vocabulary }, random) => {
    const wanted = operand("wanted", [rows, vocabulary], random, 2);
    return {
      inputs: [operand("logits", [rows, vocabulary], random, 2, 3)],
      run: ([logits]) => divergence(onto(logits!.device, wanted), logits!),
    };
  }),
  add: op(fc.record({ shape: vectors, same: fc.boolean() }), ({ shape, same }, random) => ({
    inputs: [operand("a", shape, random), ...(same ? [] : [operand("b", shape, random)])],
    run: ([a, b]) => add(a!, b ?? a!),
  })),
  addBias: op(sizable, (shape, random) => ({
    inputs: [operand("x", shape, random), operand("bias", shape.slice(1), random)],
    run: ([x, bias]) => addBias(x!, bias),
  })),
  blend: op(
    fc.record({ t: fc.constantFrom(1, 2, 8, 9), g: fc.constantFrom(1, 2, 3), m: fc.constantFrom(1, 2, 5), e: rare }),
    ({ t, g, m, e }, random) => ({
      inputs: [operand("x", [t, g * m, e], random), operand("w", [e, e], random), operand("gain", [g, e], random)],
      run: ([x, w, gain]) => blend(x!, w!, gain!),
    }),
  ),
  scaled: op(vectors, (shape, random) => {
    const factor = Math.fround(random.normal());
    return { inputs: [operand("x", shape, random)], run: ([x]) => scaleBy(x!, factor) };
  }),
  reshape: op(vectors, (shape, random) => ({
    inputs: [operand("x", shape, random)],
    run: ([x]) => scaleBy(reshape(x!, shape.toReversed()), 3),
  })),
  sigmoid: mapped("sigmoid"),
  silu: mapped("silu"),
  softplus: mapped("softplus"),
  logSigmoid: mapped("logSigmoid"),
  exp: mapped("exp"),
  relu: mapped("relu"),
  tanh: mapped("tanh"),
  multiply: multiplied,
  previous: along((x, batch, first) => previous(x, { batch, first })),
  accumulate: along((x, batch, start) => accumulate(x, { batch, start })),
  conv: convolved,
};

/**
 * An indexer's choice, or its padding. Inputs are small whole numbers and the scale a power of two: scores are exact on every
 * device, and many of them equal.
 */
const chosen = op(
  fc.record({
    of: fc.constantFrom("rows" as const, "rows" as const, "missing" as const),
    heads: small,
    width: rare,
    lengths: fc.oneof(
      { weight: 14, arbitrary: fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })) },
      { weight: 1, arbitrary: fc.constantFrom([1, 3000], [9, 260], [40, 70]) },
    ),
    batch: fc.constantFrom(1, 1, 2),
    count: fc.constantFrom(1, 2, 3, 5, 8, 17, 64),
    causal: fc.constantFrom(true, true, false),
    exponent: fc.integer({ min: -4, max: 1 }),
    most: fc.constantFrom(0, 1, 2, 5),
  }),
  ({ of, heads, width, lengths: [t = 1, s = 1], batch, count, causal, exponent, most }, random) => {
    const whole = (name: string, shape: readonly number[]) => ({
      name,
      shape,
      values: Float64Array.from({ length: sizeOf(shape) }, () => random.integer(2 * most + 1) - most),
    });
    return {
      inputs: [
        whole("q", [batch * t, heads, width]),
        whole("k", [batch * s, width]),
        whole("weights", [batch * t, heads]),
      ],
      steps: 0,
      run: ([q, k, weights]) =>
        select({ q: q!, k: k!, weights: weights! }, { scale: 2 ** exponent, batch, count, causal })[of],
    };
  },
);

/** The ops that no tape records: a choice of experts or keys, and an optimiser's step. */
export const unrecorded: Readonly<Record<string, Op>> = {
  route: op(
    fc.record({
      rows: rare,
      groups: fc.integer({ min: 1, max: 4 }),
      size: small,
      scores: fc.constantFrom("softmax" as const, "sigmoid" as const),
      normalised: fc.boolean(),
    }),
    ({ rows, groups, size: drawn, scores, normalised }, random) => {
      // Two experts score a group by sigmoid.
      const size = scores === "sigmoid" ? Math.max(2, drawn) : drawn;
      const perGroup = 1 + random.integer(groups);
      const perToken = 1 + random.integer(size * perGroup);
      const choice = { scores, normalised, perToken, groups, perGroup, factor: 1.5 };
      return {
        inputs: [
          operand("logits", [rows, groups * size], random),
          ...(scores === "sigmoid" ? [operand("bias", [groups * size], random)] : []),
        ],
        steps: 8,
        run: ([logits, bias]) => route(logits!, choice, bias),
      };
    },
  ),
  leaders: op(
    fc.record({ rows: rare, n: fc.oneof(rare, fc.constantFrom(300, 700)), k: fc.nat(63), alike: fc.boolean() }),
    ({ rows, n, k, alike }, random) => {
      // Now and then many equal numbers, whose places decide.
      const x = operand("x", [rows, n], random);
      const values = alike ? x.values.map((value) => Math.round(value)) : x.values;
      return { inputs: [{ ...x, values }], run: ([x]) => leaders(x!, 1 + (k % n)) };
    },
  ),
  select: chosen,
  merge: op(
    fc.record({ rows: sizable.filter((shape) => shape.length > 1), parts: fc.integer({ min: 1, max: 5 }) }),
    ({ rows: shape, parts }, random) => {
      const drawn = Array.from({ length: parts }, (_, i) => ({
        out: operand(`out${i}`, shape, random),
        // Far apart, and now and then over no key at all.
        lse: { ...operand(`lse${i}`, shape.slice(0, -1), random, 8) },
      }));
      for (const { lse } of drawn)
        lse.values.forEach((_, i, all) => {
          if (random.uniform() < 0.3) all[i] = Number.NEGATIVE_INFINITY;
        });
      return {
        inputs: [operand("x", [1], random)],
        steps: 16,
        run: ([x]) =>
          merge(drawn.map(({ out, lse }) => ({ out: onto(x!.device, out), lse: onto(x!.device, lse) }))).out,
      };
    },
  ),
  addProduct: addedProduct,
  productsOf: productsOfTwo,
  shorts: shortened,
  gatedNorm: op(vectors, (shape, random) => ({
    inputs: [
      operand("x", shape, random),
      operand("gain", shape.slice(-1), random, 0.5, 1),
      operand("gate", shape, random),
    ],
    run: ([x, gain, gate]) => gatedNorm(x!, gain!, 1e-6, gate!),
  })),
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
      changes: true,
      run([p, g, m, v]) {
        const sums = new Tensor(p!.device, [1]);
        squares(g!, sums, 0);
        adamw(p!, g!, m!, v!, sums, { ...moments, rate: 0.01, eps: 1e-8, decay: 0.1, maxNorm });
        return p!;
      },
    };
  }),
};
