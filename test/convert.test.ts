import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Sizes } from "../src/attention/define.ts";
import type { Attention } from "../src/attention/layer.ts";
import { gqa } from "../src/attention/variant/gqa.ts";
import { adjustRanks, compressBySpectrum, covarianceSpectrum, separateSpectrum } from "../src/convert/care.ts";
import { multiply, multiplyAround, multiplyTransposed } from "../src/convert/double.ts";
import { eigenSymmetric } from "../src/convert/eigen.ts";
import { type GroupedLayer, groupedLayer, pairRow, readNumbers, repeatKeys } from "../src/convert/grouped.ts";
import { type LatentLayer, projectLatent, shareHeads, standardiseScale } from "../src/convert/latent.ts";
import {
  distance,
  fillMatrix,
  frobenius,
  identity,
  type Matrix,
  rowsOf,
  scaleRows,
  stackRows,
  transpose,
} from "../src/convert/matrix.ts";
import { mergedLengths, mergeGroups } from "../src/convert/merge.ts";
import { convertLayer, type Explained, explainedBy, fullSizes, measuresOf, wholeParts } from "../src/convert/method.ts";
import { convertMha2mla } from "../src/convert/mhatomla.ts";
import { type Inputs, inputsOf, momentOf, momentsOf, readInputs } from "../src/convert/moment.ts";
import { joinLatents, splitHeads } from "../src/convert/part.ts";
import { allPairs, foldBiases, keepPairs } from "../src/convert/partial.ts";
import { portraitOf } from "../src/convert/portrait.ts";
import { compressQueries, querySpectrum } from "../src/convert/query.ts";
import { factorings, leftVectors } from "../src/convert/reduce.ts";
import { replaceAttention } from "../src/convert/replace.ts";
import { gatherPositions } from "../src/convert/rorope.ts";
import { rankPairs, selectPairs } from "../src/convert/select.ts";
import { shareRanks } from "../src/convert/share.ts";
import { collect, showInputs, stackOf, walkLayers } from "../src/convert/stack.ts";
import { explainedAlone, Spectrum } from "../src/convert/subspace.ts";
import { compressLatent } from "../src/convert/transmla.ts";
import { choosePairs, meanTurn } from "../src/convert/turning.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf, type Model, parametersOf } from "../src/model/model.ts";
import type { Weights } from "../src/model/transformer.ts";
import { rotation } from "../src/ops/rope/index.ts";
import { Random } from "../src/tensor/random.ts";
import { sizeOf, tensor } from "../src/tensor/tensor.ts";

const device = new ReferenceDevice();
const ids = Int32Array.from([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]);

/** What is drawn of a layer of grouped heads. */
interface Geometry {
  readonly g: number;
  readonly times: number;
  /** Rotary pairs of a head, and dims that never turn. */
  readonly pairs: number;
  readonly still: number;
  readonly v: number;
  readonly bias: "all" | "inputs" | undefined;
  readonly layout: "half" | "interleaved";
  readonly turns: boolean;
  readonly seed: number;
}

const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    g: fc.constantFrom(1, 2, 3),
    times: fc.constantFrom(1, 2, 3),
    pairs: fc.constantFrom(0, 1, 2, 4),
    still: fc.constantFrom(0, 0, 2, 3),
    v: fc.constantFrom(1, 3, 4),
    bias: fc.constantFrom(undefined, "all", "inputs"),
    layout: fc.constantFrom("half", "interleaved"),
    turns: fc.boolean(),
    seed: fc.nat(2 ** 30),
  })
  .filter(({ pairs, still }) => pairs + still > 0) as fc.Arbitrary<Geometry>;

/** A model of two such layers and random weights, biases and gains included. */
function draw({ g, times, pairs, still, v, bias, layout, turns, seed }: Geometry) {
  const [d, r, h] = [10, 2 * pairs, g * times];
  const sizes: Sizes = { d, h, g, n: still, r, e: still + r, v, c: 0, q: 0, o: 0, bias };
  const attention: Attention = { variant: gqa, sizes, rotation: rotation(turns ? r : 0, 100, layout) };
  const layer = { attention, feed: { kind: "dense" as const, f: 12 } };
  const model: Model = { vocabulary: 11, width: d, layers: [layer, layer], tied: false, eps: 1e-6 };
  return { model, weights: drawWeights(model, seed) };
}

function drawWeights(model: Model, seed: number): Weights {
  const random = new Random(seed);
  return new Map(
    parametersOf(model).map(({ name, shape }) => {
      const gain = /norm/.test(name) ? 1 : 0;
      const values = Float64Array.from(random.normals(sizeOf(shape), gain ? 0.2 : 0.4), (x) => x + gain);
      return [name, tensor(device, shape, values)];
    }),
  );
}

type Drawn = ReturnType<typeof draw>;

async function layersOf({ model, weights }: Drawn): Promise<GroupedLayer[]> {
  const all: GroupedLayer[] = [];
  for (const [i, { attention }] of model.layers.entries())
    all.push(groupedLayer(`layer ${i}`, attention, await readNumbers(weights, i)));
  return all;
}

/** What text says of each layer, all at once. */
const momentsIn = ({ model, weights }: Drawn, sequences: Int32Array[]) =>
  collect(momentsOf(stackOf(model, weights), sequences));
const inputsIn = async ({ model, weights }: Drawn, sequences: Int32Array[]) =>
  (await collect(inputsOf(stackOf(model, weights), sequences))) as Inputs[];

/** Logits of all tokens, in pieces, in a form. */
async function logits(model: Model, weights: Weights, form?: string): Promise<Float64Array> {
  const session = new Session(model, weights, { context: ids.length });
  const first = await session.append(ids.slice(0, 7), { form }).read();
  const rest = await session.append(ids.slice(7), { form }).read();
  session.free();
  return Float64Array.from([...first, ...rest]);
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** The largest difference of logits that converted layers make, over all forms. */
async function change(drawn: Drawn, layers: readonly LatentLayer[]): Promise<number> {
  const before = await logits(drawn.model, drawn.weights);
  const { model, weights, free } = replaceAttention(drawn.model, drawn.weights, layers);
  let most = 0;
  for (const form of formsOf(model)) most = Math.max(most, farthest(before, await logits(model, weights, form)));
  free();
  return most;
}

/** Logits are of order 1 to 10, and some hundred operations lie between: what is above this is no rounding of float64. */
const ROUNDING = 1e-10;

describe("an exact step keeps the function in every form", () => {
  const law = (
    name: string,
    convert: (drawn: Drawn, layers: GroupedLayer[]) => LatentLayer[] | Promise<LatentLayer[]>,
  ) =>
    test(name, () =>
      fc.assert(
        fc.asyncProperty(geometries, async (geometry) => {
          const drawn = draw(geometry);
          expect(await change(drawn, await convert(drawn, await layersOf(drawn)))).toBeLessThan(ROUNDING);
        }),
        { numRuns: 12 },
      ),
    );

  law("grouped heads as MLA that keeps every rotary pair", (_, layers) =>
    layers.map((layer) => keepPairs(layer, allPairs(layer))),
  );
  law("with biases folded and under MLA's own scale", (_, layers) =>
    layers.map((layer) => standardiseScale(foldBiases(keepPairs(layer, allPairs(layer))))),
  );
  law("with the latent in another basis of full rank", (_, layers) =>
    layers.map((layer) => {
      const whole = foldBiases(keepPairs(layer, allPairs(layer)));
      return projectLatent(whole, leftVectors(whole.latent, whole.latent.rows));
    }),
  );
  law("as GQLA, whose groups share what the latent unfolds to", ({ model }, layers) =>
    layers.map((layer) => {
      const whole = foldBiases(keepPairs(layer, allPairs(layer)));
      const { bias } = model.layers[0]!.attention.sizes;
      return bias
        ? whole
        : shareHeads(projectLatent(whole, leftVectors(whole.latent, whole.latent.rows)), layer.keyGroups);
    }),
  );
  law("as GLA, whose groups of heads have a latent each", ({ model }, layers) =>
    layers.map((layer) => {
      const whole = foldBiases(keepPairs(layer, allPairs(layer)));
      if (model.layers[0]!.attention.sizes.bias) return whole;
      const parts = splitHeads(whole, layer.keyGroups);
      return joinLatents(
        whole,
        parts.map((part) => projectLatent(part, leftVectors(part.latent, part.latent.rows))),
      );
    }),
  );
  law("as fewer groups, where those that are merged are alike", (_, layers) =>
    layers.map((layer) => {
      const back = mergeGroups({ ...repeatKeys(layer), ...repeatValues(layer) }, layer.keyGroups);
      return keepPairs(back, allPairs(back));
    }),
  );
  law("by MHA2MLA, where all pairs and the full rank are kept", (_, layers) =>
    layers.map((layer) => {
      const factoring = factorings[(layer.h + layer.v) % factorings.length]!;
      const perHead = layer.h % 2 === 1;
      return convertMha2mla(layer, { selection: "low", ropeDims: layer.r, factoring, rank: 99, perHead }).layer;
    }),
  );
});

/** As `repeatKeys`, of values. */
const repeatValues = ({ h, v, valueGroups, value }: GroupedLayer) => ({
  valueGroups: h,
  value: fillMatrix(h * v, value.columns, (i, j) => {
    const group = Math.floor((Math.floor(i / v) * valueGroups) / h);
    return value.values[(group * v + (i % v)) * value.columns + j]!;
  }),
});

test("merged groups are means, and what these leave out is what keys and values differ from them by", async () => {
  const drawn = draw({
    g: 4,
    times: 1,
    pairs: 2,
    still: 1,
    v: 3,
    bias: undefined,
    layout: "half",
    turns: true,
    seed: 8,
  });
  const [layer] = await layersOf(drawn);
  const [moment] = await momentsIn(drawn, [ids]);
  const merged = mergeGroups(layer!, 2);
  let left = 0;
  for (const [rows, means, width] of [
    [layer!.key, merged.key, layer!.e],
    [layer!.value, merged.value, layer!.v],
  ] as const) {
    const rest = fillMatrix(rows.rows, rows.columns, (i, j) => {
      const [group, at] = [Math.floor(i / width), i % width];
      return (
        rows.values[i * rows.columns + j]! - means.values[(Math.floor(group / 2) * width + at) * rows.columns + j]!
      );
    });
    const square = momentOf(rest, moment!);
    for (let i = 0; i < square.rows; i++) left += square.values[i * square.rows + i]!;
  }
  const lengths = mergedLengths(layer!, 2, moment!);
  expect(lengths.length).toBe(merged.keyGroups * (1 + layer!.v) + 1);
  expect(lengths.at(-1)! / left).toBeCloseTo(1, 9);
});

describe("positions gathered", () => {
  const whole = { pairs: 4, still: 0, turns: true } as const;

  test("are exact for one group and no folding, at full ranks of latent and query", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, ...whole, g: 1 });
        const layers = await layersOf(drawn);
        const moments = await momentsIn(drawn, [ids]);
        const converted = layers.map((layer, i) => {
          const gathered = gatherPositions(layer, moments[i]!, { fold: 1, collapse: 1 });
          const [rank, queryRank] = [gathered.layer.latent.rows, layer.query.rows];
          return compressLatent(gathered, moments[i]!, { rank, queryRank });
        });
        expect(await change(drawn, converted.map(standardiseScale))).toBeLessThan(ROUNDING);
      }),
      { numRuns: 15 },
    ));

  test("do not depend on the latent's basis: full rank with balanced keys changes nothing more", async () => {
    const drawn = draw({ g: 2, times: 2, v: 8, bias: "all", layout: "half", seed: 5, ...whole });
    const layers = await layersOf(drawn);
    const moments = await momentsIn(drawn, [ids]);
    const gathered = layers.map((layer, i) => gatherPositions(layer, moments[i]!, { fold: 2, collapse: 2 }));
    const apart = replaceAttention(
      drawn.model,
      drawn.weights,
      gathered.map(({ layer }) => layer),
    );
    const full = gathered.map((layer, i) =>
      compressLatent(layer, moments[i]!, { rank: layer.layer.latent.rows, balance: 1 }),
    );
    const [a, b] = [await logits(apart.model, apart.weights), replaceAttention(drawn.model, drawn.weights, full)];
    expect(farthest(a, await logits(b.model, b.weights))).toBeLessThan(ROUNDING);
    // And what gathering itself costs is no rounding.
    expect(await change(drawn, full)).toBeGreaterThan(1e-3);
  });
});

describe("a mutant is caught", () => {
  const drawn = draw({ g: 2, times: 2, pairs: 2, still: 2, v: 3, bias: "all", layout: "half", turns: true, seed: 11 });
  const exact = async () => (await layersOf(drawn)).map((layer) => keepPairs(layer, allPairs(layer)));
  const swapped = (rows: Matrix, width: number): Matrix =>
    fillMatrix(rows.rows, rows.columns, (i, j) => {
      const from = i < 2 * width ? (i + width) % (2 * width) : i;
      return rows.values[from * rows.columns + j]!;
    });

  const mutants: Record<string, (layer: LatentLayer) => LatentLayer> = {
    "two heads' keys swapped": (layer) => ({ ...layer, keys: swapped(layer.keys, 2 * layer.n) }),
    "two heads' queries swapped": (layer) => ({ ...layer, rotary: swapped(layer.rotary, layer.shared.rows) }),
    "pairs in the other layout": (layer) => ({ ...layer, rotation: { ...layer.rotation, layout: "half" } }),
    "a scale by the wrong width": (layer) => ({ ...layer, scale: (layer.n + layer.shared.rows) ** -0.5 }),
    "a norm that the original has not": (layer) => ({
      ...layer,
      norm: { gain: new Float64Array(layer.latent.rows).fill(1), eps: 1e-6 },
    }),
    "a bias of the values forgotten": (layer) => ({ ...layer, outputBias: foldBiases(layer).outputBias }),
  };

  test("by none where nothing is changed", async () => {
    expect(await change(drawn, await exact())).toBeLessThan(ROUNDING);
  });
  for (const [name, mutate] of Object.entries(mutants))
    test(name, async () => {
      expect(await change(drawn, (await exact()).map(mutate))).toBeGreaterThan(1e-3);
    });
});

describe("eigenvectors of a symmetric matrix", () => {
  const random = new Random(3);
  const square = (n: number) => fillMatrix(n, n, () => random.normals(1, 1)[0]!);
  const kinds: Record<string, (n: number) => Matrix> = {
    "of any kind": (n) => {
      const a = square(n);
      return fillMatrix(n, n, (i, j) => a.values[i * n + j]! + a.values[j * n + i]!);
    },
    "of low rank": (n) => {
      const a = fillMatrix(n, 2, (i, j) => square(1).values[0]! + i * j);
      return multiplyTransposed(a, a);
    },
    "with equal values": (n) => {
      const { vectors } = eigenSymmetric(multiplyTransposed(square(n), square(n)));
      return multiply(
        transpose(vectors),
        scaleRows(
          vectors,
          Float64Array.from({ length: n }, (_, i) => (i < n / 2 ? 3 : -1)),
        ),
      );
    },
    "of very different size": (n) => fillMatrix(n, n, (i, j) => 10 ** (-(i + j) / 4) + (i === j ? 1e-9 : 0)),
    "that are unit vectors": (n) => fillMatrix(n, n, (i, j) => (i === j ? n - i : 0)),
    "of zeros": (n) => fillMatrix(n, n, () => 0),
  };
  for (const [name, make] of Object.entries(kinds))
    test.each([1, 2, 3, 7, 40, 133])(`${name}, %i`, (n) => {
      const a = make(n);
      const { values, vectors } = eigenSymmetric(a);
      // Backward error of Householder and QL: a small multiple of n roundings of the largest value.
      const bound = 20 * n * Number.EPSILON;
      expect(distance(multiplyTransposed(vectors, vectors), identity(n))).toBeLessThan(bound);
      const back = multiply(transpose(vectors), scaleRows(vectors, values));
      expect(distance(back, a)).toBeLessThanOrEqual(bound * frobenius(a));
      expect([...values].sort((x, y) => y - x)).toEqual([...values]);
      // Where the first are asked for alone, they are those.
      const first = eigenSymmetric(a, 2).vectors;
      expect(first.rows).toBe(Math.min(2, n));
      expect([...first.values]).toEqual([...vectors.values.subarray(0, first.values.length)]);
    });

  test("by steps that a plain product agrees with, at sizes that fill no tile", () => {
    for (const [m, n, k] of [
      [1, 1, 1],
      [5, 3, 300],
      [4, 8, 257],
      [7, 2, 2],
      [133, 5, 9],
    ] as const) {
      const [a, b] = [
        fillMatrix(m, k, () => random.normals(1, 1)[0]!),
        fillMatrix(n, k, () => random.normals(1, 1)[0]!),
      ];
      const plain = fillMatrix(m, n, (i, j) => {
        let sum = 0;
        for (let at = 0; at < k; at++) sum += a.values[i * k + at]! * b.values[j * k + at]!;
        return sum;
      });
      expect(distance(multiplyTransposed(a, b), plain)).toBeLessThan(k * Number.EPSILON * frobenius(a) * frobenius(b));
    }
  });

  test("by products around a symmetric matrix of which the lower half is enough", () => {
    for (const [m, n] of [
      [1, 1],
      [3, 2],
      [130, 7],
      [5, 255],
      [6, 262],
      [2, 521],
    ] as const) {
      const a = fillMatrix(m, n, () => random.normals(1, 1)[0]!);
      const whole = kinds["of any kind"]!(n);
      const plain = multiplyTransposed(multiplyTransposed(a, whole), a);
      const lower = fillMatrix(n, n, (i, j) => (i < j ? Number.NaN : whole.values[i * n + j]!));
      for (const of of [whole, lower]) {
        const around = multiplyAround(a, of);
        expect(distance(around, plain)).toBeLessThan(
          2 * n * Number.EPSILON * frobenius(a) * frobenius(whole) * frobenius(a),
        );
        expect([...transpose(around).values]).toEqual([...around.values]);
      }
    }
    expect(() =>
      multiplyAround(
        fillMatrix(1, 2, () => 1),
        fillMatrix(3, 2, () => 1),
      ),
    ).toThrow(/got 3 x 2, expected a symmetric/);
  });

  test("are refused for what is not square or no number", () => {
    expect(() => eigenSymmetric(fillMatrix(2, 3, () => 1))).toThrow(/eigen: got 2 x 3/);
    expect(() => eigenSymmetric(fillMatrix(2, 2, () => Number.NaN))).toThrow(/expected finite numbers/);
  });
});

describe("MHA2MLA's selections", () => {
  test("keep the fastest, the slowest, evenly spread ones, or those of the largest weight", () => {
    expect(selectPairs("high", 8, 3)).toEqual([0, 1, 2]);
    expect(selectPairs("low", 8, 3)).toEqual([5, 6, 7]);
    expect(selectPairs("uniform", 8, 4)).toEqual([0, 2, 4, 6]);
    expect(selectPairs("uniform", 8, 4, 1)).toEqual([1, 3, 5, 7]);
    expect([...rankPairs([0.5, 3, 1, 1, 9, 2, 0, 4], 2)]).toEqual([3, 0, 1, 2, 0, 2, 3, 1]);
  });

  test("refuse what a head has not", () => {
    expect(() => selectPairs("high", 8, 9)).toThrow(/got 9 to keep, expected 0 to 8/);
    expect(() => selectPairs("uniform", 9, 4)).toThrow(/whose step of 2 divides 9/);
    expect(() => selectPairs("uniform", 8, 4, 2)).toThrow(/first one of 2, expected 0 to 1/);
  });
});

describe("the subspace that changes the output least", () => {
  const random = new Random(8);
  const normal = (rows: number, columns: number) => fillMatrix(rows, columns, () => random.normals(1, 1)[0]!);
  const positive = (n: number) => {
    const a = normal(n, n);
    return multiplyTransposed(a, a);
  };
  /** E (l - P l)ᵀ G (l - P l) for second moment M: the trace of G (I - P) M (I - P)ᵀ. */
  const errorOf = (moment: Matrix, metric: Matrix, { down, up }: { down: Matrix; up: Matrix }) => {
    const n = moment.rows;
    const p = multiply(up, down);
    const rest = fillMatrix(n, n, (i, j) => (i === j ? 1 : 0) - p.values[i * n + j]!);
    const left = multiply(metric, multiplyTransposed(multiply(rest, moment), rest));
    return Array.from({ length: n }, (_, i) => left.values[i * n + i]!).reduce((a, b) => a + b);
  };

  test("loses what it said, less than principal components and less than any neighbour", () => {
    for (const n of [2, 5, 9]) {
      const [moment, metric] = [positive(n), positive(n)];
      const spectrum = Spectrum.between(moment, metric);
      for (let rank = 0; rank <= n; rank++) {
        const best = spectrum.of(rank);
        const error = errorOf(moment, metric, best);
        const bound = 1e-9 * spectrum.lost(0);
        expect(Math.abs(error - spectrum.lost(rank))).toBeLessThan(bound);
        const components = rowsOf(eigenSymmetric(moment).vectors, 0, rank);
        expect(error).toBeLessThanOrEqual(
          errorOf(moment, metric, { down: components, up: transpose(components) }) + bound,
        );
        const moved = { ...best.up, values: best.up.values.map((x) => x + 1e-3 * random.normals(1, 1)[0]!) };
        expect(error).toBeLessThanOrEqual(errorOf(moment, metric, { down: best.down, up: moved }) + bound);
      }
    }
  });

  test("is exact at full rank with every component turned, and no worse than unturned at any distance", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, turns: true });
        const layers = await layersOf(drawn);
        const inputs = await inputsIn(drawn, [ids]);
        const r = 2 * geometry.pairs * geometry.g;
        const wanted = { method: "biform", r, selection: "high", balance: 1, biases: true, context: 64 } as const;
        const kept = Array.from({ length: geometry.pairs }, () => geometry.g);
        const converted = layers.map((layer, i) =>
          convertLayer(layer, { ...wanted, c: fullSizes(layer, wanted).c }, { inputs: inputs[i]!, kept }),
        );
        expect(await change(drawn, converted)).toBeLessThan(1e-6);
      }),
      { numRuns: 10 },
    ));

  test("of GLA is each group's own: with another's, more is lost", async () => {
    const drawn = draw({
      g: 2,
      times: 2,
      pairs: 2,
      still: 2,
      v: 4,
      bias: undefined,
      layout: "half",
      turns: true,
      seed: 4,
    });
    const inputs = await inputsIn(drawn, [ids]);
    const layers = await layersOf(drawn);
    const gla = { variant: "GLA", latents: 2, method: "biform", selection: "high", balance: 1, context: 64 } as const;
    const given = { ...gla, r: 4, biases: false };
    /** Logits with latents of this rank, each the subspace of the group that `which` says. */
    const under = async (c: number, which: (of: Explained[]) => Explained[]) => {
      const converted = layers.map((layer, i) => {
        const seen = { inputs: inputs[i]!, kept: [1, 1] };
        const wanted = { ...given, c };
        return convertLayer(layer, wanted, seen, which(explainedBy(layer, wanted, seen)!));
      });
      const { model, weights, free } = replaceAttention(drawn.model, drawn.weights, converted);
      const numbers = await logits(model, weights);
      free();
      return numbers;
    };
    const whole = await under(12, (of) => of);
    const squares = (numbers: ArrayLike<number>) => whole.reduce((sum, x, i) => sum + (x - numbers[i]!) ** 2, 0);
    const own = squares(await under(9, (of) => of));
    expect(own).toBeLessThan(0.5 * squares(await under(9, (of) => of.toReversed())));
  });

  test("counts each token as often as queries read it", async () => {
    const drawn = draw({ g: 2, times: 2, pairs: 2, still: 2, v: 3, bias: "all", layout: "half", turns: true, seed: 4 });
    const inputs = await inputsIn(drawn, [ids, ids.slice(0, 5)]);
    const moments = await momentsIn(drawn, [ids, ids.slice(0, 5)]);
    const layers = await layersOf(drawn);
    const plain = moments.map(({ values }) => values.map(() => 0));
    const squares = layers.map(({ h }) => new Float64Array(h));
    for await (const step of walkLayers(stackOf(drawn.model, drawn.weights), [ids, ids.slice(0, 5)]))
      await showInputs(step, async (x) => {
        const i = step.layer;
        const rows = await readInputs(x);
        weightsOf(layers[i]!, rows, squares[i]!).forEach((weight, t) => {
          const row = rows.values.subarray(t * rows.columns, (t + 1) * rows.columns);
          row.forEach((a, j) => {
            row.forEach((b, k) => {
              plain[i]![j * rows.columns + k]! += weight * a * b;
            });
          });
        });
      });
    inputs.forEach(({ all, read }, i) => {
      expect(farthest(all.values, moments[i]!.values)).toBe(0);
      expect(farthest(read.values, plain[i]!)).toBeLessThan(1e-10);
      expect(farthest(read.values, all.values)).toBeGreaterThan(0.1);
    });
    inputs.forEach(({ weight, sharpness }, i) => {
      expect(weight).toBeGreaterThan(0);
      // Sixteen signs tell a mean of squares to about a third; what they are taken for lies between 1 / tokens and 1.
      sharpness.forEach((one, head) => {
        const exact = squares[i]![head]!;
        expect(Math.abs(one - exact)).toBeLessThan(0.35 * exact);
      });
    });
  });

  /** What all queries give each token, in the mean of heads, by softmax as it is written; squares are added by head, per token of 17. */
  function weightsOf(layer: GroupedLayer, rows: Matrix, squares: Float64Array): Float64Array {
    const { h, e, r, keyGroups, rotation, scale } = layer;
    const [queries, keys] = [multiplyTransposed(rows, layer.query), multiplyTransposed(rows, layer.key)];
    const turned = (of: Matrix, t: number, block: number) => {
      const out = Array.from({ length: e }, (_, i) => of.values[t * of.columns + block * e + i]!);
      for (let f = 0; f < r / 2; f++) {
        const [i, j] = [pairRow(layer, f, 0), pairRow(layer, f, 1)];
        const [x, y] = [out[i]!, out[j]!];
        const [c, s] = [Math.cos(t * rotation.frequencies[f]!), Math.sin(t * rotation.frequencies[f]!)];
        [out[i], out[j]] = [c * x - s * y, s * x + c * y];
      }
      return out;
    };
    const weights = new Float64Array(rows.rows);
    for (let head = 0; head < h; head++)
      for (let t = 0; t < rows.rows; t++) {
        const q = turned(queries, t, head);
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          const k = turned(keys, s, Math.floor((head * keyGroups) / h));
          return Math.exp(scale * q.reduce((sum, x, i) => sum + x * k[i]!, 0));
        });
        const total = scores.reduce((a, b) => a + b);
        scores.forEach((x, s) => {
          weights[s]! += x / total / h;
          squares[head]! += (x / total) ** 2 / (ids.length + 5);
        });
      }
    return weights;
  }

  test("weighs the latent as it is read, and scores by how sharply heads look", async () => {
    const drawn = draw({
      g: 2,
      times: 2,
      pairs: 2,
      still: 0,
      v: 3,
      bias: undefined,
      layout: "half",
      turns: true,
      seed: 6,
    });
    const [inputs] = (await inputsIn(drawn, [ids])) as [Inputs];
    const [layer] = (await layersOf(drawn)) as [GroupedLayer];
    const wanted = { method: "biform", c: 4, r: 4, selection: "high", balance: 1, biases: false, context: 64 } as const;
    const explained = (seen: Inputs) => {
      const known = { portrait: portraitOf(layer, seen), kept: [1, 1] };
      const { metric, moment } = measuresOf(layer, known, wanted)[0]!;
      // Of the model's own hidden states the same, whatever coordinates the layer is looked at in.
      const plain = momentOf(wholeParts(layer, wanted, { inputs: seen, kept: [1, 1] })[0]!.latent, seen.read);
      const tokens = seen.read.values.at(-1)!;
      expect(
        farthest(
          plain.values,
          moment.values.map((x) => x * tokens),
        ),
      ).toBeLessThan(1e-9 * tokens);
      const trace = metric.values.reduce((sum, x, i) => sum + x * plain.values[i]!, 0) / tokens;
      const { spectrum } = explainedBy(layer, wanted, { inputs: seen, kept: [1, 1] })![0]!;
      expect(Math.abs(spectrum.lost(0) - trace)).toBeLessThan(1e-6 * trace);
      expect(farthest(spectrum.explained, explainedAlone(moment, metric))).toBeLessThan(1e-9 * trace);
      return spectrum.lost(0);
    };
    const once = explained(inputs);
    expect(explained({ ...inputs, read: inputs.all })).not.toBeCloseTo(once, 3);
    expect(explained({ ...inputs, sharpness: inputs.sharpness.map(() => 1) })).toBeGreaterThan(1.01 * once);
  });

  test("shares ranks so that they add up, and each goes where it explains most", () => {
    const explained = [Float64Array.of(9, 4, 1, 1, 0, 0), Float64Array.of(5, 5, 5, 5, 5, 5), Float64Array.of(1, 0, 0)];
    expect(shareRanks(explained, 2, (i, at) => explained[i]![at]!)).toEqual([1, 4, 1]);
    // By CARE: 4 of 6 and 5 of 25 and nothing of nothing are left; then 1 of 2, 1 of 1.
    expect(adjustRanks(explained, 2)).toEqual([4, 1, 1]);
    expect(adjustRanks(explained, 3)).toEqual([4, 3, 2]);
  });

  test("of queries is exact at the model's width, and loses what it said, less than any neighbour", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, turns: true });
        const inputs = await inputsIn(drawn, [ids]);
        const whole = (await layersOf(drawn)).map((layer) => foldBiases(keepPairs(layer, allPairs(layer))));
        const d = drawn.model.width;
        const converted = whole.map((layer, i) =>
          compressQueries(layer, inputs[i]!, new Float64Array(layer.h).fill(1), d),
        );
        expect(converted.every(({ bottleneck }) => bottleneck?.down.rows === d)).toBe(true);
        expect(await change(drawn, converted)).toBeLessThan(1e-6);
        const spectrum = querySpectrum(whole[0]!, inputs[0]!, new Float64Array(whole[0]!.h).fill(1));
        for (let rank = 1; rank <= d; rank++) expect(spectrum.lost(rank)).toBeLessThanOrEqual(spectrum.lost(rank - 1));
      }),
      { numRuns: 8 },
    ));

  test("by CARE is the truncated singular value decomposition that covariance weighs", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, pairs: 2, still: 0, turns: true });
        const layers = await layersOf(drawn);
        const moments = await momentsIn(drawn, [ids]);
        const layer = gatherPositions(layers[0]!, moments[0]!, { fold: 1, collapse: 1 }).layer;
        const c = layer.latent.rows;
        const spectrum = covarianceSpectrum(layer, moments[0]!);
        // C as it is shrunk, and its root by eigenvectors.
        const plain = multiplyTransposed(multiply(layer.latent, moments[0]!), layer.latent);
        const trace = Array.from({ length: c }, (_, i) => plain.values[i * (c + 1)]!).reduce((a, b) => a + b);
        const { values, vectors } = eigenSymmetric(
          fillMatrix(c, c, (i, j) => plain.values[i * c + j]! + (i === j ? (0.1 * trace) / c : 0)),
        );
        const root = multiply(transpose(vectors), scaleRows(vectors, values.map(Math.sqrt)));
        const unfold = (of: LatentLayer) => stackRows(of.keys, of.values);
        const whole = multiply(unfold(layer), root);
        const singular = eigenSymmetric(multiplyTransposed(transpose(whole), transpose(whole))).values;
        for (const rank of [1, Math.ceil(c / 2), c]) {
          const { down, up } = spectrum.of(rank);
          const small = compressBySpectrum(layer, spectrum, rank);
          expect(distance(small.latent, multiply(down, layer.latent))).toBe(0);
          const error = distance(whole, multiply(multiply(unfold(layer), multiply(up, down)), root)) ** 2;
          const tail = singular.slice(rank).reduce((a, b) => a + Math.max(0, b), 0);
          expect(Math.abs(error - tail)).toBeLessThan(1e-7 * singular[0]! * c);
          expect(Math.abs(spectrum.lost(rank) - tail)).toBeLessThan(1e-7 * singular[0]! * c);
        }
      }),
      { numRuns: 6 },
    ));

  test("by CARE apart is that decomposition of keys and of values, each of its half of the rank", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, pairs: 2, still: 0, turns: true });
        const layers = await layersOf(drawn);
        const moments = await momentsIn(drawn, [ids]);
        const layer = gatherPositions(layers[0]!, moments[0]!, { fold: 1, collapse: 1 }).layer;
        const c = layer.latent.rows;
        const values = geometry.g * geometry.v;
        const keys = c - values;
        const spectrum = separateSpectrum(layer, moments[0]!);
        // Of each: W C^(1/2) for C as it is shrunk, whose squared singular values are those of C^(1/2) Wᵀ W C^(1/2).
        const parts = [
          { unfold: layer.keys, from: 0, to: keys },
          { unfold: layer.values, from: keys, to: c },
        ].map(({ unfold, from, to }) => {
          const n = to - from;
          const rows = rowsOf(layer.latent, from, to);
          const plain = multiplyTransposed(multiply(rows, moments[0]!), rows);
          const more =
            (0.1 * Array.from({ length: n }, (_, i) => plain.values[i * (n + 1)]!).reduce((a, b) => a + b, 0)) / n;
          const covariance = eigenSymmetric(
            fillMatrix(n, n, (i, j) => plain.values[i * n + j]! + (i === j ? more : 0)),
          );
          const root = multiply(
            transpose(covariance.vectors),
            scaleRows(covariance.vectors, covariance.values.map(Math.sqrt)),
          );
          const own = fillMatrix(unfold.rows, n, (i, j) => unfold.values[i * c + from + j]!);
          const whole = multiply(own, root);
          return { own, root, singular: eigenSymmetric(multiplyTransposed(transpose(whole), transpose(whole))).values };
        });
        for (let rank = 1; rank <= c; rank++) {
          const half = Math.max(rank - values, Math.min(keys, Math.floor(rank / 2)));
          const { down, up } = spectrum.of(rank);
          expect([down.rows, up.columns]).toEqual([rank, rank]);
          const back = multiply(up, down);
          let lost = 0;
          for (const [i, { own, root, singular }] of parts.entries()) {
            const [from, n, kept] = i ? [keys, values, rank - half] : [0, keys, half];
            const across = fillMatrix(n, n, (a, b) => back.values[(from + a) * c + from + b]!);
            const rest = fillMatrix(n, n, (a, b) => (a === b ? 1 : 0) - across.values[a * n + b]!);
            const error = frobenius(multiply(multiply(own, rest), root)) ** 2;
            const tail = singular.slice(kept).reduce((a, b) => a + Math.max(0, b), 0);
            expect(Math.abs(error - tail)).toBeLessThanOrEqual(1e-7 * (singular[0] ?? 0) * c);
            lost += tail;
          }
          const scale = parts.reduce((sum, { singular }) => sum + (singular[0] ?? 0), 0);
          expect(Math.abs(spectrum.lost(rank) - lost)).toBeLessThanOrEqual(1e-7 * scale * c);
          // No key is made of what values have, and no value of what keys have.
          const small = compressBySpectrum(layer, spectrum, rank);
          for (let k = 0; k < rank; k++) {
            const readBy = (of: Matrix) =>
              Array.from({ length: of.rows }, (_, i) => of.values[i * rank + k]!).some((x) => x !== 0);
            expect([readBy(small.keys), readBy(small.values)].filter(Boolean).length).toBe(1);
          }
        }
      }),
      { numRuns: 8 },
    ));

  test("by CARE in turn is by what the converted model itself gives each layer", () =>
    fc.assert(
      fc.asyncProperty(geometries, async (geometry) => {
        const drawn = draw({ ...geometry, pairs: 2, still: 0, turns: true, v: 4 });
        const layers = await layersOf(drawn);
        const inputs = await inputsIn(drawn, [ids]);
        const biases = geometry.bias !== undefined;
        const asked = { method: "care-sequential", selection: "high", balance: 1, context: 64, biases } as const;
        const wanted = { ...asked, c: 2 + (biases ? 1 : 0), r: 4 };
        const seen: Matrix[] = [];
        const made: LatentLayer[] = [];
        const become = async (i: number) => {
          expect(seen.length).toBe(i + 1);
          made[i] = convertLayer(layers[i]!, wanted, { inputs: inputs[i]!, second: seen[i]! });
          return made[i];
        };
        for await (const moment of momentsOf(stackOf(drawn.model, drawn.weights), [ids], become)) seen.push(moment);
        await become(layers.length - 1);
        const whole = replaceAttention(drawn.model, drawn.weights, made);
        const met = await momentsIn({ ...drawn, ...whole }, [ids]);
        for (const [i, moment] of met.entries())
          expect(distance(moment, seen[i]!)).toBeLessThan(1e-12 * frobenius(moment));
        // Where a layer before has lost something, that is not what the model as it was gives.
        const plain = await momentsIn(drawn, [ids]);
        expect(distance(plain[1]!, seen[1]!)).toBeGreaterThan(1e-3 * frobenius(plain[1]!));
        whole.free();
      }),
      { numRuns: 6 },
    ));

  test("the mean rotation is the one constant that is nearest to turning", () => {
    const frequencies = Float64Array.of(1, 0.3, 0.001);
    const { cosine, sine } = meanTurn(frequencies, 100);
    frequencies.forEach((f, i) => {
      const error = (a: number, b: number) => {
        let sum = 0;
        for (let s = 0; s < 100; s++) sum += ((Math.cos(s * f) - a) ** 2 + (Math.sin(s * f) - b) ** 2) / (1 + s);
        return sum;
      };
      const best = error(cosine[i]!, sine[i]!);
      for (const [a, b] of [
        [1, 0],
        [cosine[i]! + 0.01, sine[i]!],
        [cosine[i]!, sine[i]! - 0.01],
      ] as const)
        expect(best).toBeLessThan(error(a, b));
    });
    expect(
      choosePairs(
        [
          [5, 1],
          [4, 3],
          [0.5, 0.1],
        ],
        3,
      ),
    ).toEqual([1, 2, 0]);
  });
});
