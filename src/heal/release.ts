import type { Attention } from "../attention/layer.ts";
import type { Numbers64 } from "../convert/grouped.ts";
import { type LatentLayer, latentAttention } from "../convert/latent.ts";
import { fillMatrix, frobenius, type Matrix } from "../convert/matrix.ts";
import { holdNorms, type Still, wholeBottleneck } from "../convert/still.ts";
import { balanceLayer } from "./balance.ts";

/** An attention as it is trained, its numbers, and the way back to what its checkpoint has. */
export interface Released {
  readonly attention: Attention;
  readonly numbers: Numbers64;
  /** Trained numbers in the checkpoint's shapes. `gains` are those of the norm before attention, which bound what goes in. */
  hold(trained: Numbers64, gains: ArrayLike<number>): Numbers64;
}

/**
 * The same attention without norms that are there in name alone: conversions keep those that stock models put on latents from changing
 * anything (`holdNorms`), by a constant in the latent or by a latent so small that epsilon is all they divide by. An optimiser that
 * changes each number by about its rate would make noise of numbers so small, and move the norm besides. A norm that is none of these
 * stays, and is trained. Both sides of inner products are then alike in size (`balanceLayer`). `gains` are those of the norm before attention.
 */
export function releaseNorms(attention: Attention, numbers: Numbers64, gains: ArrayLike<number>): Released {
  const asItIs = { attention, numbers, hold: (trained: Numbers64) => trained };
  const { variant, sizes } = attention;
  const known = Object.keys(sizes.with ?? {}).every((feature) => feature === "plainLatent" || feature === "queryBias");
  if (variant.name !== "MLA" || !known) return asItIs;
  const layer = readLatent(attention, numbers);
  const latent = releaseLatent(layer, gains);
  // A bottleneck without a norm is multiplied out where a layer becomes an attention.
  if (!latent || (layer.bottleneck && !layer.bottleneck.norm)) return asItIs;
  const { still } = latent;
  const released = balanceLayer(releaseQueries(latent.layer, gains));
  const { attention: own, numbers: freed } = latentAttention(released);
  // Biases of queries bring a bottleneck of their own; that of an architecture without queries that have none is made here.
  const whole = still === "shrunk" && layer.bottleneck && !released.bottleneck;
  return {
    attention: { ...own, window: attention.window },
    numbers: freed,
    hold(trained, now) {
      const made = readLatent(own, trained);
      const bare = whole ? wholeBottleneck(made) : made;
      return latentAttention(still ? holdNorms(bare, now, still) : bare).numbers;
    },
  };
}

/** A layer from an attention's numbers: the way back from `latentAttention`. */
export function readLatent({ sizes: z, rotation, scale, variant }: Attention, numbers: Numbers64): LatentLayer {
  const { d, h, n, r, v, c, q } = z;
  const eps = z.eps ?? 1e-6;
  const rows = (name: string, outputs: number, bias?: string) =>
    inRows(numbers.get(name), outputs, bias === undefined ? undefined : numbers.get(bias));
  const norm = (name: string) => {
    const gain = numbers.get(name);
    return gain && { gain, eps };
  };
  return {
    d,
    h,
    n,
    v,
    content: rows("wUQ", h * n, "bUQ"),
    rotary: r ? rows("wQR", h * r, "bQR") : fillMatrix(0, (q || d) + 1, () => 0),
    bottleneck: q ? { down: rows("wDQ", q, "bDQ"), norm: norm("gQ") } : undefined,
    latent: rows("wDKV", c, "bDKV"),
    norm: norm("gKV"),
    shared: r ? rows("wKR", r, "bKR") : fillMatrix(0, d + 1, () => 0),
    keys: withoutBias(rows("wUK", h * n)),
    values: withoutBias(rows("wUV", h * v)),
    output: withoutBias(rows("wO", d)),
    outputBias: numbers.get("bO"),
    rotation,
    scale: scale ?? variant.scale(z),
  };
}

/** Numbers `[inputs, outputs]` as rows `[outputs, inputs + 1]`, the last column a bias. */
function inRows(values: Float64Array | undefined, outputs: number, bias: Float64Array | undefined): Matrix {
  const inputs = (values?.length ?? 0) / outputs;
  return fillMatrix(outputs, inputs + 1, (i, j) => (j < inputs ? values![j * outputs + i]! : (bias?.[i] ?? 0)));
}

const withoutBias = ({ rows, columns, values }: Matrix) =>
  fillMatrix(rows, columns - 1, (i, j) => values[i * columns + j]!);

/** What a norm divides by whatever the token, and how many of its first rows are no constant; undefined for a norm that does something. */
function heldBy({ rows, columns, values }: Matrix, eps: number, gains: ArrayLike<number>) {
  const d = columns - 1;
  const last = (rows - 1) * columns;
  const constant = values[last + d]!;
  const still = constant !== 0 && values.subarray(last, last + d).every((x) => x === 0);
  const count = still ? rows - 1 : rows;
  const beside = fillMatrix(count, d, (i, j) => values[i * columns + j]! * gains[j]!);
  const bias = Math.hypot(...Array.from({ length: count }, (_, i) => values[i * columns + d]!));
  const fixed = eps + (still ? constant ** 2 / rows : 0);
  // The norm before attention leaves inputs no longer than sqrt(d) times its gains.
  const longest = frobenius(beside) * Math.sqrt(d) + bias;
  return longest ** 2 / rows < fixed * 2 ** -20 ? { root: Math.sqrt(fixed), count } : undefined;
}

/** The layer without a norm on its latent, and what held that where there was one; undefined for a norm that does something. */
function releaseLatent(
  layer: LatentLayer,
  gains: ArrayLike<number>,
): { readonly layer: LatentLayer; readonly still: Still | undefined } | undefined {
  const { latent, norm, keys, values } = layer;
  if (!norm) return { layer, still: undefined };
  const held = heldBy(latent, norm.eps, gains);
  if (!held || (held.count < latent.rows && norm.gain[held.count] !== 0)) return undefined;
  const { count, root } = held;
  const first = (m: Matrix) => fillMatrix(m.rows, count, (i, j) => m.values[i * m.columns + j]!);
  const by = (i: number) => norm.gain[i]! / root;
  const rows = fillMatrix(count, latent.columns, (i, j) => latent.values[i * latent.columns + j]! * by(i));
  return {
    still: count < latent.rows ? "constant" : "shrunk",
    layer: { ...layer, norm: undefined, latent: rows, keys: first(keys), values: first(values) },
  };
}

/** Queries whose bottleneck is the hidden state itself, perhaps beside a constant for their biases, without it; others as they are. */
function releaseQueries(layer: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  const { bottleneck, content, rotary, d } = layer;
  if (!bottleneck?.norm) return layer;
  const { down, norm } = bottleneck;
  const held = heldBy(down, norm.eps, gains);
  const straight =
    held?.count === d &&
    down.values.every((x, at) => x === 0 || at % (d + 1) === Math.floor(at / (d + 1)) || at >= d * (d + 1));
  if (!straight) return layer;
  const by = (i: number) => norm.gain[i]! / held.root;
  const through = (rows: Matrix) =>
    fillMatrix(rows.rows, d + 1, (i, j) => {
      const x = rows.values[i * rows.columns + j]!;
      if (j < d) return x * down.values[j * (d + 1) + j]! * by(j);
      // What queries make of the constant is their bias.
      return down.rows > d ? x * down.values[d * (d + 1) + d]! * by(d) + rows.values[i * rows.columns + d + 1]! : x;
    });
  return { ...layer, bottleneck: undefined, content: through(content), rotary: through(rotary) };
}
