import { ShapeError } from "../tensor/error.ts";
import type { LatentLayer } from "./latent.ts";
import { fillMatrix, type Matrix, pickRows, rowsOf, stackRows } from "./matrix.ts";
import type { Portrait } from "./portrait.ts";

// GLA is as many layers of MLA side by side as it has latents: each has its own heads, and all turn one key.

/** Which of a layer's heads: the `part`-th of as many parts of the same size. */
interface Part {
  readonly part: number;
  readonly parts: number;
}

/** The rows of a part's heads, of rows of all heads. */
function ownRows(rows: Matrix, { part, parts }: Part): Matrix {
  const own = rows.rows / parts;
  return rowsOf(rows, part * own, (part + 1) * own);
}

/**
 * A layer's heads in `parts` parts, each a layer of its own whose latent is what its heads read: what none of them reads is left out. All
 * turn the same key, and what they give adds up to what the layer gives. Throws ShapeError for a number that does not divide the heads.
 */
export function splitHeads(layer: LatentLayer, parts: number): LatentLayer[] {
  const { h, v, d } = layer;
  if (h % parts) throw new ShapeError(`internal: got ${h} heads, expected a multiple of ${parts}`);
  return Array.from({ length: parts }, (_, part) => {
    const of = { part, parts };
    const [keys, values] = [ownRows(layer.keys, of), ownRows(layer.values, of)];
    const read = Array.from({ length: layer.latent.rows }, (_, j) => j).filter((j) =>
      [keys, values].some(({ rows, columns, values }) => {
        for (let i = 0; i < rows; i++) if (values[i * columns + j] !== 0) return true;
        return false;
      }),
    );
    const only = (rows: Matrix) =>
      fillMatrix(rows.rows, read.length, (i, j) => rows.values[i * rows.columns + read[j]!]!);
    const width = (h / parts) * v;
    return {
      ...layer,
      h: h / parts,
      content: ownRows(layer.content, of),
      rotary: ownRows(layer.rotary, of),
      latent: pickRows(layer.latent, read),
      keys: only(keys),
      values: only(values),
      output: fillMatrix(d, width, (i, j) => layer.output.values[i * h * v + part * width + j]!),
      outputBias: part ? undefined : layer.outputBias,
    };
  });
}

/** What is known of a part's heads. */
export function partOfPortrait(portrait: Portrait, { part, parts }: Part): Portrait {
  const own = portrait.spread.length / parts;
  const [from, to] = [part * own, (part + 1) * own];
  return {
    ...portrait,
    queries: portrait.queries.slice(from, to),
    outputs: portrait.outputs.slice(from, to),
    spread: portrait.spread.subarray(from, to),
  };
}

/** The layer whose heads are those of all parts, each with its own latent. A latent with fewer numbers than another gets zeros. */
export function joinLatents(layer: LatentLayer, parts: readonly LatentLayer[]): LatentLayer {
  const c = Math.max(...parts.map(({ latent }) => latent.rows));
  const wide = ({ rows, columns, values }: Matrix) =>
    fillMatrix(rows, c, (i, j) => (j < columns ? values[i * columns + j]! : 0));
  const tall = (latent: Matrix) =>
    fillMatrix(c, latent.columns, (i, j) => (i < latent.rows ? latent.values[i * latent.columns + j]! : 0));
  return {
    ...layer,
    latent: stackRows(...parts.map(({ latent }) => tall(latent))),
    keys: stackRows(...parts.map(({ keys }) => wide(keys))),
    values: stackRows(...parts.map(({ values }) => wide(values))),
    latents: parts.length,
  };
}

/** What each further rank explains where all latents have it. */
export function sumExplained(parts: readonly Float64Array[]): Float64Array {
  const most = Math.max(...parts.map(({ length }) => length));
  return Float64Array.from({ length: most }, (_, i) => parts.reduce((sum, of) => sum + (of[i] ?? 0), 0));
}
