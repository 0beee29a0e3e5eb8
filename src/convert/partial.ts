import { FormatError } from "../tensor/error.ts";
import { type GroupedLayer, groupOf, pairRow } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix, matrix, pickRows, scaleMatrix, stackRows } from "./matrix.ts";

/**
 * Grouped heads as MLA of full rank, where each key head keeps the rotation of some pairs. The shared key is that of all heads side by
 * side, from which a query picks its group's by zeros elsewhere; the latent is [keys without position | values], unfolded by zeros and
 * ones. Exact where all pairs are kept, or where the layer turns none (NoPE): then nothing but the order of numbers has changed.
 * Where pairs are left unturned, that is the one thing that is lost. Throws FormatError where heads keep different numbers of pairs.
 */
export function keepPairs(layer: GroupedLayer, kept: readonly (readonly number[])[]): LatentLayer {
  const { d, h, keyGroups, valueGroups, e, v, rotation } = layer;
  const count = kept[0]?.length ?? 0;
  if (kept.length !== keyGroups || kept.some((pairs) => pairs.length !== count))
    throw new FormatError(
      `rotary pairs: got ${kept.map((pairs) => pairs.length).join(", ")} of ${keyGroups} key heads, expected as many of each`,
    );
  const turned = kept.map((pairs) => pairs.flatMap((i) => [pairRow(layer, i, 0), pairRow(layer, i, 1)]));
  const still = turned.map((rows) => Array.from({ length: e }, (_, i) => i).filter((row) => !rows.includes(row)));
  const rest = e - 2 * count;
  // MLA's keys have a part without position: where nothing is left for it, one number that is zero.
  const n = rest || 1;
  const [width, c] = [keyGroups * 2 * count, keyGroups * rest + valueGroups * v];
  const own = (head: number) => groupOf(head, h, keyGroups);
  const heads = Array.from({ length: h }, (_, head) => head);
  const rowsIn = (of: readonly (readonly number[])[], owner: (block: number) => number, blocks: number) =>
    Array.from({ length: blocks }, (_, block) => of[owner(block)]!.map((row) => block * e + row)).flat();
  const queries = heads.map((head) => ({ head, rows: turned[own(head)]!.map((row) => head * e + row) }));
  const content = rest ? pickRows(layer.query, rowsIn(still, own, h)) : matrix(h, d + 1);
  return {
    d,
    h,
    n,
    v,
    // What is left unturned is not multiplied by the rotation's magnitude any more; both sides of the score were.
    content: scaleMatrix(content, rotation.magnitude ** 2),
    rotary: spreadQueries(layer, queries, width, count),
    latent: stackRows(
      pickRows(
        layer.key,
        rowsIn(still, (g) => g, keyGroups),
      ),
      layer.value,
    ),
    shared: pickRows(
      layer.key,
      rowsIn(turned, (g) => g, keyGroups),
    ),
    keys: fillMatrix(h * n, c, (row, j) => (rest && j === own(Math.floor(row / n)) * n + (row % n) ? 1 : 0)),
    values: fillMatrix(h * v, c, (row, j) => {
      const head = Math.floor(row / v);
      return j === keyGroups * rest + groupOf(head, h, valueGroups) * v + (row % v) ? 1 : 0;
    }),
    output: layer.output,
    outputBias: layer.outputBias,
    rotation: {
      ...rotation,
      layout: "interleaved",
      frequencies: Float64Array.from(kept.flat(), (i) => rotation.frequencies[i]!),
    },
    scale: layer.scale,
  };
}

/** Queries' turned rows, each head's in the place of its group's key and zeros elsewhere: `[h width, d + 1]`. */
function spreadQueries(
  layer: GroupedLayer,
  queries: readonly { readonly head: number; readonly rows: readonly number[] }[],
  width: number,
  count: number,
): Matrix {
  const { query, h, keyGroups } = layer;
  const out = matrix(h * width, query.columns);
  for (const { head, rows } of queries)
    rows.forEach((row, i) => {
      const to = head * width + groupOf(head, h, keyGroups) * 2 * count + i;
      out.values.set(query.values.subarray(row * query.columns, (row + 1) * query.columns), to * query.columns);
    });
  return out;
}

/** All pairs of each key head: what `keepPairs` takes to lose nothing. */
export function allPairs({ keyGroups, r }: GroupedLayer): number[][] {
  return Array.from({ length: keyGroups }, () => Array.from({ length: r / 2 }, (_, i) => i));
}

/**
 * The same function without biases in the latent: a bias of a key without position adds one number to all scores of a query, which
 * softmax does not see, and a bias of a value is one of the output.
 */
export function foldBiases(layer: LatentLayer): LatentLayer {
  const { d, latent, values, output } = layer;
  const width = d + 1;
  const bias = Array.from({ length: latent.rows }, (_, i) => latent.values[i * width + d]!);
  if (bias.every((x) => x === 0)) return layer;
  const heads = Array.from({ length: values.rows }, (_, i) =>
    bias.reduce((sum, x, j) => sum + values.values[i * values.columns + j]! * x, 0),
  );
  const folded = Float64Array.from({ length: d }, (_, i) =>
    heads.reduce((sum, x, j) => sum + output.values[i * output.columns + j]! * x, layer.outputBias?.[i] ?? 0),
  );
  return {
    ...layer,
    latent: fillMatrix(latent.rows, width, (i, j) => (j < d ? latent.values[i * width + j]! : 0)),
    outputBias: folded,
  };
}
