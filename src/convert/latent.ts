import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { gla } from "../attention/variant/gla.ts";
import { gqla } from "../attention/variant/gqla.ts";
import { mla } from "../attention/variant/mla.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { multiply, multiplyTransposed } from "./double.ts";
import type { Numbers64 } from "./grouped.ts";
import { columnsOf, type Matrix, rowsOf, scaleMatrix, stackRows, transpose } from "./matrix.ts";

/** The gain of a norm, and its epsilon. */
interface Norm {
  readonly gain: Float64Array;
  readonly eps: number;
}

/** A layer of MLA in float64; biases are last columns, as in a grouped layer. */
export interface LatentLayer {
  readonly d: number;
  readonly h: number;
  /** Widths of a head's key without position and of its value. */
  readonly n: number;
  readonly v: number;
  /** `[h n, d + 1]` and `[h r, d + 1]`; where there is a bottleneck of rank q, q + 1 columns. */
  readonly content: Matrix;
  readonly rotary: Matrix;
  readonly bottleneck?: { readonly down: Matrix; readonly norm?: Norm | undefined } | undefined;
  /** `[c, d + 1]`, of several latents one below the other, and the norm of what it gives, where there is one. */
  readonly latent: Matrix;
  readonly norm?: Norm | undefined;
  /** `[r, d + 1]`: the key that all heads share. */
  readonly shared: Matrix;
  /** What a latent unfolds to: `[h n, c]` and `[h v, c]`. */
  readonly keys: Matrix;
  readonly values: Matrix;
  readonly output: Matrix;
  readonly outputBias: Float64Array | undefined;
  readonly rotation: Rotation;
  readonly scale: number;
  /** Where heads of a group share what the latent unfolds to (GQLA), how many groups there are. */
  readonly groups?: number | undefined;
  /** Where groups of heads have a latent each (GLA), how many there are. */
  readonly latents?: number | undefined;
}

/** Another basis of the latent: `basis` `[c', c]` with orthonormal rows takes the place of the identity. All of it is lost but their span. */
export function projectLatent(layer: LatentLayer, basis: Matrix): LatentLayer {
  return {
    ...layer,
    latent: multiply(basis, layer.latent),
    keys: multiplyTransposed(layer.keys, basis),
    values: multiplyTransposed(layer.values, basis),
  };
}

/** The same scores under MLA's own scale (n + r)^-1/2: what is left of the factor goes into the queries. */
export function standardiseScale(layer: LatentLayer): LatentLayer {
  const scale = (layer.n + layer.shared.rows) ** -0.5;
  const factor = layer.scale / scale;
  return {
    ...layer,
    content: scaleMatrix(layer.content, factor),
    rotary: scaleMatrix(layer.rotary, factor),
    scale,
  };
}

/**
 * The same layer as GQLA: what its latent unfolds to belongs to groups of heads, as a source of grouped heads has it. Throws ShapeError where
 * heads of a group differ.
 */
export function shareHeads(layer: LatentLayer, groups: number): LatentLayer {
  const { h, keys, values } = layer;
  for (const rows of [keys, values]) {
    const heads = rows.values.length / h;
    const first = (head: number) => groupHead(head, h, groups) * heads;
    for (let head = 0; head < h; head++)
      for (let i = 0; i < heads; i++)
        if (rows.values[head * heads + i] !== rows.values[first(head) + i])
          throw new ShapeError(`internal: head ${head}: got another unfolding than the first of its group`);
  }
  return { ...layer, groups };
}

/** The first head of the group that a head is in. */
const groupHead = (head: number, h: number, groups: number) => Math.floor((head * groups) / h) * (h / groups);

/** Rows of heads `[h w, c]` as the first of each group has them: `[groups w, c]`. */
function firstHeads(rows: Matrix, h: number, groups: number): Matrix {
  const width = rows.rows / h;
  const firsts = Array.from({ length: groups }, (_, i) => (i * h) / groups);
  return stackRows(...firsts.map((head) => rowsOf(rows, head * width, (head + 1) * width)));
}

/** Wᵀ W of what a latent unfolds to, W = [keys; values] of all heads: `[c, c]`. */
export function unfoldMetric({ keys, values }: LatentLayer): Matrix {
  const all = transpose(stackRows(keys, values));
  return multiplyTransposed(all, all);
}

/** What every key and value is of the hidden state, bias aside: `[h n, d]` and `[h v, d]`. */
export function unfoldLayer({ d, latent, keys, values }: LatentLayer): { keys: Matrix; values: Matrix } {
  const down = columnsOf(latent, 0, d);
  return { keys: multiply(keys, down), values: multiply(values, down) };
}

const hasBias = ({ rows, columns, values }: Matrix) => {
  for (let i = 0; i < rows; i++) if (values[i * columns + columns - 1] !== 0) return true;
  return false;
};

/** What rows `[.., q + 1]` behind a bottleneck `[q, d + 1]` are of the hidden state, where no norm stands between: `[.., d + 1]`. */
export function throughBottleneck(rows: Matrix, down: Matrix): Matrix {
  const [q, last] = [down.rows, down.columns - 1];
  const product = multiply(columnsOf(rows, 0, q), down);
  for (let i = 0; i < rows.rows; i++) product.values[i * down.columns + last]! += rows.values[i * rows.columns + q]!;
  return product;
}

/** A bottleneck that no norm follows is one linear map with what comes after it. */
function multiplyOut(layer: LatentLayer): LatentLayer {
  const { bottleneck, content, rotary } = layer;
  if (!bottleneck || bottleneck.norm) return layer;
  const whole = (rows: Matrix) => throughBottleneck(rows, bottleneck.down);
  return { ...layer, bottleneck: undefined, content: whole(content), rotary: whole(rotary) };
}

/** The layer as an attention of a model, and its numbers by parameter. */
export function latentAttention(given: LatentLayer): { attention: Attention; numbers: Numbers64 } {
  const layer = multiplyOut(given);
  const { d, h, n, v, bottleneck, rotation, scale, groups, latents } = layer;
  const [c, r] = [layer.latent.rows / (latents ?? 1), layer.shared.rows];
  const q = bottleneck?.down.rows ?? 0;
  const queryBias = hasBias(layer.content) || hasBias(layer.rotary);
  const down = [layer.latent, layer.shared, ...(bottleneck ? [bottleneck.down] : [])];
  const bias = layer.outputBias ? "all" : down.some(hasBias) ? "inputs" : undefined;
  const sizes: Sizes = {
    d,
    h,
    g: groups ?? latents ?? 0,
    n,
    r,
    e: n + r,
    v,
    c,
    q,
    o: 0,
    bias,
    eps: layer.norm?.eps ?? bottleneck?.norm?.eps,
    with: {
      ...(layer.norm ? {} : { plainLatent: true }),
      ...(queryBias ? { queryBias: true } : {}),
    },
  };
  const numbers = new Map<string, Float64Array>();
  const put = (name: string, values: Float64Array | undefined) => values && numbers.set(name, values);
  put("wDQ", bottleneck && inputsFirst(bottleneck.down));
  put("bDQ", bottleneck && bias && lastColumn(bottleneck.down));
  put("gQ", bottleneck?.norm?.gain);
  put("wUQ", inputsFirst(layer.content));
  put("wQR", r ? inputsFirst(layer.rotary) : undefined);
  put("bUQ", queryBias ? lastColumn(layer.content) : undefined);
  put("bQR", queryBias && r ? lastColumn(layer.rotary) : undefined);
  put("wDKV", inputsFirst(layer.latent));
  put("bDKV", bias && lastColumn(layer.latent));
  put("gKV", layer.norm?.gain);
  put("wKR", r ? inputsFirst(layer.shared) : undefined);
  put("bKR", r && bias ? lastColumn(layer.shared) : undefined);
  const heads = (rows: Matrix) => turned(groups === undefined ? rows : firstHeads(rows, h, groups));
  put("wUK", heads(layer.keys));
  put("wUV", heads(layer.values));
  put("wO", turned(layer.output));
  put("bO", layer.outputBias);
  const variant = latents !== undefined ? gla : groups !== undefined ? gqla : mla;
  return { attention: { variant, sizes, rotation, scale }, numbers };
}

/** `[rows, columns]` without the bias as numbers `[columns - 1, rows]`. */
function inputsFirst({ rows, columns, values }: Matrix): Float64Array {
  const out = new Float64Array(rows * (columns - 1));
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns - 1; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}

function turned({ rows, columns, values }: Matrix): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}

function lastColumn({ rows, columns, values }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => values[i * columns + columns - 1]!);
}
