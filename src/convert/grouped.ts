import type { Attention } from "../attention/layer.ts";
import { gqa } from "../attention/variant/gqa.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fillMatrix, type Matrix } from "./matrix.ts";

/** Sizes of a layer of grouped heads, the frequencies that it turns by, and the scale of its scores. */
export type Geometry = Pick<
  GroupedLayer,
  "d" | "h" | "keyGroups" | "valueGroups" | "e" | "r" | "v" | "rotation" | "scale"
>;

/** The same of an attention, before anything is read. */
export function geometryOf({ variant, sizes, rotation, scale = variant.scale(sizes) }: Attention): Geometry {
  const { d, h, g, e, v } = sizes;
  // What is turned, not what could be: NoPE layers keep their dims and turn none.
  return { d, h, keyGroups: g, valueGroups: g, e, r: 2 * rotation.frequencies.length, v, rotation, scale };
}

/**
 * A layer of grouped heads in float64. Every projection of the hidden state has its bias as one more column, which the hidden state
 * meets with a 1: so whatever is done to rows is done to biases as well.
 */
export interface GroupedLayer {
  readonly d: number;
  readonly h: number;
  /** Groups of keys and of values: as many, but where keys are given to heads of their own. */
  readonly keyGroups: number;
  readonly valueGroups: number;
  /** Widths of a key, of its rotary part, which lies last, and of a value. */
  readonly e: number;
  readonly r: number;
  readonly v: number;
  /** `[h e, d + 1]`, `[groups e, d + 1]`, `[groups v, d + 1]`. */
  readonly query: Matrix;
  readonly key: Matrix;
  readonly value: Matrix;
  /** `[d, h v]`, and its bias `[d]`. */
  readonly output: Matrix;
  readonly outputBias: Float64Array | undefined;
  readonly rotation: Rotation;
  readonly scale: number;
}

/** Numbers of a layer's attention by parameter: `wQ`, `bQ` and so on, in float64. */
export type Numbers64 = ReadonlyMap<string, Float64Array>;

/**
 * Why this attention has no other form as MLA, or undefined where it has. What a rule names is what the layer does that no
 * latent attention does.
 */
export function refuseAttention({ variant, sizes, rotation, window }: Attention): string | undefined {
  if (variant.name === "MLA") return "is MLA already; compress its latent, or convert the model that it came from";
  if (variant !== gqa)
    return `is ${variant.name}, expected grouped heads (MHA, GQA, MQA); leave such layers as they are`;
  if (sizes.with?.qkNorm)
    return (
      "norms each head's query and key: a norm is no linear map, so that no latent can be unfolded into its keys; " +
      "fold or train the norm away first"
    );
  if (window) return `has a window of ${window} tokens, whose cache does not grow; leave such layers as they are`;
  if (sizes.q || sizes.o) return "has low-rank queries or outputs, which this conversion does not know";
  if (rotation.beyond)
    return "turns by other angles from some position on (LongRoPE), where no one rotation of the latent's key fits; use a checkpoint with one list of factors";
  return undefined;
}

/** Reads a layer from its numbers. Throws FormatError for attention that is none of grouped heads. */
export function groupedLayer(subject: string, attention: Attention, p: Numbers64): GroupedLayer {
  const reason = refuseAttention(attention);
  if (reason) throw new FormatError(`${subject}: ${reason}`);
  const { sizes: z } = attention;
  const { d, h, g, e, v } = z;
  const wO = p.get("wO")!;
  return {
    ...geometryOf(attention),
    query: projection(p.get("wQ")!, p.get("bQ"), d, h * e),
    key: projection(p.get("wK")!, p.get("bK"), d, g * e),
    value: projection(p.get("wV")!, p.get("bV"), d, g * v),
    output: fillMatrix(d, h * v, (i, j) => wO[j * d + i]!),
    outputBias: p.get("bO"),
  };
}

/** Numbers `[d, rows]` and a bias `[rows]` as a matrix `[rows, d + 1]`. */
function projection(w: Float64Array, bias: Float64Array | undefined, d: number, rows: number): Matrix {
  return fillMatrix(rows, d + 1, (i, j) => (j < d ? w[j * rows + i]! : (bias?.[i] ?? 0)));
}

/** Reads the numbers of a layer's attention from its weights. */
export async function readNumbers(weights: ReadonlyMap<string, Tensor>, layer: number): Promise<Numbers64> {
  const prefix = `layers.${layer}.attention.`;
  const own = [...weights].filter(([name]) => name.startsWith(prefix));
  const all = new Map<string, Float64Array>();
  for (const [name, tensor] of own) all.set(name.slice(prefix.length), Float64Array.from(await tensor.read()));
  return all;
}

/** The row of a projection that is pair `i`'s first (0) or second (1) number in a head, by how the rotation lays pairs. */
export function pairRow({ e, r, rotation }: Geometry, i: number, second: 0 | 1): number {
  const start = e - r;
  return rotation.layout === "half" ? start + i + (second * r) / 2 : start + 2 * i + second;
}

/** Which group of `groups` a head reads. */
export const groupOf = (head: number, h: number, groups: number) => Math.floor((head * groups) / h);

/** Every head with a key of its own: what the groups shared, repeated. */
export function repeatKeys(layer: GroupedLayer): GroupedLayer {
  const { h, e, keyGroups, key } = layer;
  const from = (row: number) => groupOf(Math.floor(row / e), h, keyGroups) * e + (row % e);
  return {
    ...layer,
    keyGroups: h,
    key: fillMatrix(h * e, key.columns, (i, j) => key.values[from(i) * key.columns + j]!),
  };
}
