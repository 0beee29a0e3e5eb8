import { multiplyTransposed } from "./double.ts";
import type { Geometry, GroupedLayer } from "./grouped.ts";
import { fillMatrix, type Matrix, matrix, rowsOf, scaleMatrix, stackRows } from "./matrix.ts";
import { type Inputs, momentOf, momentsOfHeads } from "./moment.ts";

/** What a layer's own numbers are on text: all that is asked of it whatever sizes are tried, in its own coordinates and so small. */
export interface Portrait {
  /** `[g e + g v + 1]` squared: second moment, per token as they are read, of [keys; values], before anything turns, and a 1. */
  readonly held: Matrix;
  /** Of each head `[e, e]`: the second moment of its queries, per token. */
  readonly queries: readonly Matrix[];
  /** Of each head `[v, v]`: what an error of its values does to the output, W_Oᵀ W_O. */
  readonly outputs: readonly Matrix[];
  /**
   * Of each head, how far values lie from their mean, after the output projection, and how much of errors of single scores reaches it:
   * what a squared error of a score multiplies.
   */
  readonly spread: Float64Array;
  /** See `Inputs`. */
  readonly weight: number;
}

/** A layer's portrait, by what is known of its inputs. */
export function portraitOf(layer: GroupedLayer, { all, read, sharpness, weight }: Inputs): Portrait {
  const { d, h, v, keyGroups, valueGroups, e, output } = layer;
  const one = fillMatrix(1, d + 1, (_, j) => (j === d ? 1 : 0));
  const held = momentOf(stackRows(layer.key, layer.value, one), scaleMatrix(read, 1 / read.values.at(-1)!));
  const outputs = Array.from({ length: h }, (_, head) => {
    const own = fillMatrix(v, d, (i, j) => output.values[j * h * v + head * v + i]!);
    return multiplyTransposed(own, own);
  });
  const [width, keys] = [held.rows, keyGroups * e];
  const spread = Float64Array.from({ length: h }, (_, head) => {
    const first = keys + Math.floor((head * valueGroups) / h) * v;
    let trace = 0;
    for (let i = 0; i < v; i++)
      for (let j = 0; j < v; j++) {
        const mean = held.values[(first + i) * width + width - 1]! * held.values[(first + j) * width + width - 1]!;
        trace += (held.values[(first + i) * width + first + j]! - mean) * outputs[head]!.values[i * v + j]!;
      }
    return sharpness[head]! * trace;
  });
  const queries = momentsOfHeads(layer.query, scaleMatrix(all, 1 / all.values.at(-1)!), h);
  return { held, queries, outputs, spread, weight };
}

/**
 * The layer whose inputs are its own keys and values themselves, and of whose queries each head's numbers are the first columns: what is
 * made of it are maps of those, which `held` and `queries` are the moments of. It has no outputs: what these do is in `outputs`.
 */
export function ownCoordinates(layer: Geometry): GroupedLayer {
  const { h, e, v, keyGroups, valueGroups } = layer;
  const keys = keyGroups * e;
  const d = keys + valueGroups * v;
  const own = fillMatrix(d, d + 1, (i, j) => (i === j ? 1 : 0));
  return {
    ...layer,
    d,
    query: fillMatrix(h * e, d + 1, (i, j) => (i % e === j ? 1 : 0)),
    key: rowsOf(own, 0, keys),
    value: rowsOf(own, keys, d),
    output: matrix(d, h * v),
    outputBias: undefined,
  };
}
