import { eigenSymmetric } from "./eigen.ts";
import { type Geometry, type GroupedLayer, groupOf, pairRow } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix, matrix, stackRows } from "./matrix.ts";
import type { Portrait } from "./portrait.ts";

/** What is left of a rotation in the mean over distances: E cos and E sin of each pair's angle. */
export interface MeanTurn {
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
}

/**
 * The mean rotation of each pair over distances 0 to `context` - 1, a distance of s with weight 1 / (1 + s): attention looks at what
 * is near, and at each doubling of the distance about as often.
 */
export function meanTurn(frequencies: Float64Array, context: number): MeanTurn {
  const [cosine, sine] = [new Float64Array(frequencies.length), new Float64Array(frequencies.length)];
  let total = 0;
  for (let s = 0; s < context; s++) {
    const by = 1 / (1 + s);
    total += by;
    frequencies.forEach((f, i) => {
      cosine[i]! += by * Math.cos(s * f);
      sine[i]! += by * Math.sin(s * f);
    });
  }
  return { cosine: cosine.map((x) => x / total), sine: sine.map((x) => x / total) };
}

/** Of one frequency: how all groups' pairs are mixed into components, largest first, what unmixes them, and what each is worth. */
export interface Mixture {
  /** `[g, g]`: row k makes component k of the groups' numbers; column k of `back` is what it means to each group's queries. */
  readonly mix: Matrix;
  readonly back: Matrix;
  /** Mean squared change of the layer's output where component k is not turned at all but by the mean rotation. */
  readonly worth: Float64Array;
}

/**
 * Components of each frequency's pairs over the groups of keys: RoRoPE's rotation, weighted by who asks. One mixture for both numbers
 * of a pair commutes with turning.
 */
export function mixturesOf(layer: Geometry, { held, queries, spread }: Portrait, mean: MeanTurn): Mixture[] {
  const { e, h, r, keyGroups: g, scale } = layer;
  const number = (of: Matrix, a: number, b: number) => of.values[a * of.columns + b]!;
  return Array.from({ length: r / 2 }, (_, f) => {
    const place = (block: number, second: 0 | 1) => block * e + pairRow(layer, f, second);
    const asked = new Float64Array(g);
    for (let head = 0; head < h; head++)
      for (const second of [0, 1] as const)
        asked[groupOf(head, h, g)]! +=
          scale ** 2 * spread[head]! * number(queries[head]!, place(0, second), place(0, second));
    const roots = asked.map((x) => Math.sqrt(Math.max(x, 1e-30)));
    const { values, vectors } = eigenSymmetric(
      fillMatrix(g, g, (i, j) => {
        const both = number(held, place(i, 0), place(j, 0)) + number(held, place(i, 1), place(j, 1));
        return roots[i]! * roots[j]! * both;
      }),
    );
    // A rotation differs from the mean one by 1 - |mean|² in the mean square, and a score is the product's real part: half.
    const lost = 1 - mean.cosine[f]! ** 2 - mean.sine[f]! ** 2;
    return {
      mix: fillMatrix(g, g, (k, i) => vectors.values[k * g + i]! * roots[i]!),
      back: fillMatrix(g, g, (i, k) => vectors.values[k * g + i]! / roots[i]!),
      worth: values.map((x) => (Math.max(0, x) * lost) / 2),
    };
  });
}

/**
 * How many components of each frequency stay turned, so that the `pairs` worth most do: `worth` is of each frequency and component. A
 * component never goes before a larger one of its frequency.
 */
export function choosePairs(worth: readonly ArrayLike<number>[], pairs: number): number[] {
  const all = worth.flatMap((of, f) => Array.from(of, (x, k) => ({ f, k, x })));
  const kept = worth.map(() => 0);
  for (const { f } of all.sort((a, b) => b.x - a.x || a.f - b.f).slice(0, pairs)) kept[f]!++;
  return kept;
}

/**
 * Grouped heads as MLA of full rank whose shared key holds the first `kept[f]` components of each frequency. All others are keys
 * without position, which queries meet as if turned by the mean rotation: what is fast leaves next to nothing, what is slow all of it.
 */
export function keepComponents(
  layer: GroupedLayer,
  mixtures: readonly Mixture[],
  kept: readonly number[],
  mean: MeanTurn,
): LatentLayer {
  const { d, h, e, r, v, keyGroups: g, valueGroups, rotation, key, query } = layer;
  const width = d + 1;
  const turned: [f: number, k: number][] = [];
  const still: [f: number, k: number][] = [];
  mixtures.forEach((_, f) => {
    for (let k = 0; k < g; k++) (k < kept[f]! ? turned : still).push([f, k]);
  });
  const plain = Array.from({ length: e - r }, (_, i) => i);
  const component = (list: typeof turned) => {
    const out = matrix(2 * list.length, width);
    list.forEach(([f, k], at) => {
      for (const second of [0, 1] as const)
        for (let i = 0; i < g; i++) {
          const by = mixtures[f]!.mix.values[k * g + i]!;
          const from = (i * e + pairRow(layer, f, second)) * width;
          const to = (2 * at + second) * width;
          for (let j = 0; j < width; j++) out.values[to + j]! += by * key.values[from + j]!;
        }
    });
    return out;
  };
  const unturned = fillMatrix(g * plain.length, width, (row, j) => {
    const [i, at] = [Math.floor(row / plain.length), row % plain.length];
    return key.values[(i * e + plain[at]!) * width + j]!;
  });
  const latent = stackRows(component(still), unturned, layer.value);
  const [first, values0] = [2 * still.length, 2 * still.length + unturned.rows];
  const keys = matrix(h * e, latent.rows);
  const rotary = matrix(h * 2 * turned.length, width);
  const magnitude = rotation.magnitude ** 2;
  for (let head = 0; head < h; head++) {
    const i = groupOf(head, h, g);
    still.forEach(([f, k], at) => {
      for (const second of [0, 1] as const)
        keys.values[(head * e + pairRow(layer, f, second)) * latent.rows + 2 * at + second] =
          mixtures[f]!.back.values[i * g + k]! * magnitude;
    });
    plain.forEach((row, at) => {
      keys.values[(head * e + row) * latent.rows + first + i * plain.length + at] = 1;
    });
    turned.forEach(([f, k], at) => {
      const by = mixtures[f]!.back.values[i * g + k]!;
      for (const second of [0, 1] as const) {
        const from = (head * e + pairRow(layer, f, second)) * width;
        const to = (head * 2 * turned.length + 2 * at + second) * width;
        for (let j = 0; j < width; j++) rotary.values[to + j] = by * query.values[from + j]!;
      }
    });
  }
  return {
    d,
    h,
    n: e,
    v,
    content: turnByMean(layer, mean),
    rotary,
    latent,
    shared: component(turned),
    keys,
    values: fillMatrix(h * v, latent.rows, (row, j) => {
      const head = Math.floor(row / v);
      return j === values0 + groupOf(head, h, valueGroups) * v + (row % v) ? 1 : 0;
    }),
    output: layer.output,
    outputBias: layer.outputBias,
    rotation: {
      ...rotation,
      layout: "interleaved",
      frequencies: Float64Array.from(turned, ([f]) => rotation.frequencies[f]!),
    },
    scale: layer.scale,
  };
}

/** Queries turned by the mean rotation: a query that stands s tokens after a key meets it turned by s frequency. */
function turnByMean(layer: GroupedLayer, { cosine, sine }: MeanTurn): Matrix {
  const { query, h, e, r, d } = layer;
  const out = { ...query, values: query.values.slice() };
  const width = d + 1;
  for (let head = 0; head < h; head++)
    for (let f = 0; f < r / 2; f++) {
      const [a, b] = [(head * e + pairRow(layer, f, 0)) * width, (head * e + pairRow(layer, f, 1)) * width];
      for (let j = 0; j < width; j++) {
        const [x, y] = [query.values[a + j]!, query.values[b + j]!];
        out.values[a + j] = cosine[f]! * x - sine[f]! * y;
        out.values[b + j] = sine[f]! * x + cosine[f]! * y;
      }
    }
  return out;
}
