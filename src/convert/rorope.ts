import { FormatError } from "../tensor/error.ts";
import { multiply } from "./double.ts";
import { eigenSymmetric } from "./eigen.ts";
import { type GroupedLayer, groupOf, pairRow } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix, matrix, rowsOf, stackRows } from "./matrix.ts";
import { momentOf } from "./moment.ts";

/** How far positions are gathered: neighbouring frequencies taken for one, and how many of these are turned by each that stays. */
export interface Folding {
  /** Neighbouring frequencies that are taken for one (FreqFold); 1 takes each as it is. */
  readonly fold: number;
  /** Turned dims that stay are a head's width divided by this. */
  readonly collapse: number;
}

/** A layer whose positions are gathered, and how each head's turned query is made of its whole one: `[h r, e]`. */
export interface Gathered {
  readonly layer: LatentLayer;
  readonly turns: Matrix;
}

/**
 * RoRoPE and FreqFold of TransMLA (arXiv 2502.07864, sections 4.2 and 4.3): for each block of `fold` neighbouring frequencies one
 * rotation of all groups' numbers of these frequencies, the same for both numbers of a pair, so that it commutes with turning
 * (exactly where fold is 1). By principal components it gathers the keys' length in few numbers, which stay turned: fold / collapse
 * of each block, one key of e / collapse dims for all heads. All others are keys without position.
 *
 * The layer is MLA of full rank: its latent is [other keys | values]. `moment` is the second moment of its inputs. Throws
 * FormatError for a fold that does not divide the pairs, or a collapse that does not divide the fold.
 */
export function gatherPositions(layer: GroupedLayer, moment: Matrix, { fold, collapse }: Folding): Gathered {
  const { d, h, e, v, valueGroups, rotation } = layer;
  checkFolding(layer, { fold, collapse });
  const [blocks, each] = [e / 2 / fold, fold / collapse];
  const components = turnedComponents(layer, moment, fold);
  const groups = layer.keyGroups;
  /** Row of the key projection of group g, frequency f, and number of the pair. */
  const row = (g: number, f: number, second: 0 | 1) => g * e + pairRow(layer, f, second);
  const component = (block: number, k: number, second: 0 | 1) => {
    const sum = new Float64Array(d + 1);
    components[block]!.forEach(k, (g, f, by) => {
      const from = row(g, f, second) * (d + 1);
      for (let j = 0; j <= d; j++) sum[j]! += by * layer.key.values[from + j]!;
    });
    return sum;
  };
  const all = (from: number, to: number) => {
    const list: { block: number; k: number; second: 0 | 1 }[] = [];
    for (let block = 0; block < blocks; block++)
      for (let k = from; k < to; k++) for (const second of [0, 1] as const) list.push({ block, k, second });
    return list;
  };
  const turned = all(0, each);
  const still = all(each, groups * fold);
  const rowsFor = (list: typeof turned) => {
    const out = matrix(list.length, d + 1);
    list.forEach(({ block, k, second }, i) => {
      out.values.set(component(block, k, second), i * (d + 1));
    });
    return out;
  };
  const latent = stackRows(rowsFor(still), layer.value);
  const keys = matrix(h * e, latent.rows);
  still.forEach(({ block, k, second }, j) => {
    components[block]!.forEach(k, (g, f, by) => {
      for (let head = 0; head < h; head++)
        if (groupOf(head, h, groups) === g)
          keys.values[(head * e + pairRow(layer, f, second)) * latent.rows + j] = by * rotation.magnitude ** 2;
    });
  });
  const turns = queryTurns(layer, components, turned);
  const gathered: LatentLayer = {
    d,
    h,
    n: e,
    v,
    content: layer.query,
    rotary: turnQueries(turns, layer.query, h),
    latent,
    shared: rowsFor(turned),
    keys,
    values: fillMatrix(h * v, latent.rows, (at, j) => {
      const head = Math.floor(at / v);
      return j === still.length + groupOf(head, h, valueGroups) * v + (at % v) ? 1 : 0;
    }),
    output: layer.output,
    outputBias: layer.outputBias,
    rotation: {
      ...rotation,
      layout: "interleaved",
      // Of each block those that are spread over it evenly: every collapse-th.
      frequencies: Float64Array.from({ length: blocks * each }, (_, i) => rotation.frequencies[i * collapse]!),
    },
    scale: layer.scale,
  };
  return { layer: gathered, turns };
}

function checkFolding({ e, r }: GroupedLayer, { fold, collapse }: Folding): void {
  if (r !== e)
    throw new FormatError(
      `RoRoPE: got ${r} turned dims of ${e}, expected all of them; keep pairs by MHA2MLA's selections`,
    );
  if (!(fold >= 1) || (e / 2) % fold)
    throw new FormatError(`freqfold: got ${fold}, expected a divisor of the ${e / 2} frequencies of a head`);
  if (!(collapse >= 1) || fold % collapse)
    throw new FormatError(`collapse: got ${collapse}, expected a divisor of freqfold ${fold}`);
}

/** The principal components of a block: how much of component k each group's number of each frequency is. */
interface Components {
  forEach(k: number, visit: (group: number, frequency: number, by: number) => void): void;
}

/** Principal components of each block of frequencies, largest first, over groups and frequencies alike. */
function turnedComponents(layer: GroupedLayer, moment: Matrix, fold: number): Components[] {
  const { e, keyGroups: groups } = layer;
  const all = momentOf(layer.key, moment);
  return Array.from({ length: e / 2 / fold }, (_, block) => {
    const place = (i: number, second: 0 | 1) =>
      Math.floor(i / fold) * e + pairRow(layer, block * fold + (i % fold), second);
    const size = groups * fold;
    const of = (i: number, j: number, second: 0 | 1) => all.values[place(i, second) * all.columns + place(j, second)]!;
    const { vectors } = eigenSymmetric(fillMatrix(size, size, (i, j) => of(i, j, 0) + of(i, j, 1)));
    return {
      forEach(k, visit) {
        for (let i = 0; i < size; i++)
          visit(Math.floor(i / fold), block * fold + (i % fold), vectors.values[k * size + i]!);
      },
    };
  });
}

/** How each head's query of the one turned key is made of its whole query: `[h r, e]`. */
function queryTurns(
  layer: GroupedLayer,
  components: readonly Components[],
  turned: readonly { readonly block: number; readonly k: number; readonly second: 0 | 1 }[],
): Matrix {
  const { h, e, keyGroups } = layer;
  const out = matrix(h * turned.length, e);
  turned.forEach(({ block, k, second }, i) => {
    components[block]!.forEach(k, (g, f, by) => {
      for (let head = 0; head < h; head++)
        if (groupOf(head, h, keyGroups) === g)
          out.values[(head * turned.length + i) * e + pairRow(layer, f, second)] = by;
    });
  });
  return out;
}

/** Each head's rows `[h e, columns]` turned: `[h r, columns]`. */
export function turnQueries(turns: Matrix, rows: Matrix, h: number): Matrix {
  const [r, e] = [turns.rows / h, rows.rows / h];
  const heads = Array.from({ length: h }, (_, head) =>
    multiply(rowsOf(turns, head * r, (head + 1) * r), rowsOf(rows, head * e, (head + 1) * e)),
  );
  return stackRows(...heads);
}
