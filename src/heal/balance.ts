import type { LatentLayer } from "../convert/latent.ts";
import { fillMatrix, type Matrix, scaleRows } from "../convert/matrix.ts";

/**
 * The same layer whose numbers on both sides of every inner product are alike in size. A latent's number that is twice as long and is
 * unfolded by half is the same function, and so with a key's number and the query that meets it, or a value's and the output; but an
 * optimiser that changes each number by about its rate moves the one side by far more than the other where conversions leave them
 * orders of magnitude apart.
 */
export function balanceLayer(given: LatentLayer): LatentLayer {
  const { content, keys, values, output } = given;
  const asked = factors(rowSizes(keys), rowSizes(content));
  const written = factors(columnSizes(output), rowSizes(values));
  const balanced = {
    ...given,
    content: scaleRows(content, asked),
    keys: scaleRows(keys, inverse(asked)),
    values: scaleRows(values, written),
    output: scaleColumnsBy(output, inverse(written)),
  };
  return balanceTurned(balanceLatent(balanced));
}

/** Each number of the latent, by what it is made of and what is made of it. */
function balanceLatent(layer: LatentLayer): LatentLayer {
  const { latent, keys, values } = layer;
  const [k, v] = [columnSizes(keys), columnSizes(values)];
  const both = k.map((x, j) => Math.sqrt((keys.rows * x ** 2 + values.rows * v[j]! ** 2) / (keys.rows + values.rows)));
  const by = factors(both, rowSizes(latent));
  return {
    ...layer,
    latent: scaleRows(latent, by),
    keys: scaleColumnsBy(keys, inverse(by)),
    values: scaleColumnsBy(values, inverse(by)),
  };
}

/** Each pair of the turned key and of all heads' queries: both numbers of a pair alike, or a rotation would mix what is scaled otherwise. */
function balanceTurned(layer: LatentLayer): LatentLayer {
  const { shared, rotary, h, rotation } = layer;
  const r = shared.rows;
  if (!r) return layer;
  const pairOf = (row: number) => (rotation.layout === "half" ? row % (r / 2) : Math.floor(row / 2));
  const pairs = (sizes: Float64Array) => {
    const sums = new Float64Array(r / 2);
    sizes.forEach((x, row) => {
      sums[pairOf(row % r)]! += x ** 2 / (sizes.length / (r / 2));
    });
    return sums.map(Math.sqrt);
  };
  const by = factors(pairs(rowSizes(rotary)), pairs(rowSizes(shared)));
  const rows = (count: number, of: Float64Array) =>
    Float64Array.from({ length: count }, (_, row) => of[pairOf(row % r)]!);
  return {
    ...layer,
    shared: scaleRows(shared, rows(r, by)),
    rotary: scaleRows(rotary, rows(h * r, inverse(by))),
  };
}

/** What the second of two sizes is to be multiplied by, and the first divided, so that they are alike; 1 where either is nothing. */
const factors = (one: Float64Array, other: Float64Array) =>
  one.map((x, i) => (x > 0 && other[i]! > 0 ? Math.sqrt(x / other[i]!) : 1));
const inverse = (by: Float64Array) => by.map((x) => 1 / x);

/** Root mean squares of rows, and of columns. */
const rowSizes = ({ rows, columns, values }: Matrix) =>
  Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += values[i * columns + j]! ** 2;
    return Math.sqrt(sum / columns);
  });
const columnSizes = ({ rows, columns, values }: Matrix) => {
  const sums = new Float64Array(columns);
  for (let at = 0; at < values.length; at++) sums[at % columns]! += values[at]! ** 2 / rows;
  return sums.map(Math.sqrt);
};

const scaleColumnsBy = ({ rows, columns, values }: Matrix, by: Float64Array) =>
  fillMatrix(rows, columns, (i, j) => values[i * columns + j]! * by[j]!);
