import { type Costing, cacheOf, numbersIn, present } from "../../attention/define.ts";
import type { Keeping } from "../../attention/keeping.ts";
import type { Blueprint, LayerKind } from "../../cost/blueprint.ts";
import { keptOf } from "../../cost/keep.ts";

/** What a token leaves in a layer, as rows of the tensors that an engine keeps, and what a sequence leaves whatever its length. */
export interface LayerRows {
  /** Layers that are alike. */
  readonly count: number;
  /** Numbers of a key's row, of a value's row and of an indexer's key; 0 where there is none, or where it is another layer's. */
  readonly keys: number;
  readonly values: number;
  readonly index: number;
  /** Heads that keys and values are of, which tensor ranks share out; 1 for a latent, which none can split. */
  readonly heads: number;
  readonly window?: number | undefined;
  /** These are the last tokens that a layer keeps beside another layer's entries, not entries of its own. */
  readonly beside?: true;
  readonly keeping?: Keeping | undefined;
  /** Numbers of a state: what the rule remembers, and the last inputs of short convolutions, `taps` rows of them. */
  readonly memory: number;
  readonly tail: number;
  readonly taps: number;
}

/**
 * How engines lay out a layer with latents: as it is; the latent once more as a value; keys and values of every head, the rotary key
 * in each; the same with values as wide as keys.
 */
export type Layout = "latents" | "twice" | "heads" | "padded";

/** Whether the model has layers that cache a latent. */
export const hasLatents = ({ layers }: Blueprint) => layers.some((kind) => keptOf(kind).absorbed);
/** Whether some layers keep one entry for several tokens. */
export const hasPools = ({ layers }: Blueprint) =>
  layers.some(({ keeping }) => (keeping?.every ?? 1) > 1 || (keeping?.indexEvery ?? 1) > 1);
/** Whether some layers keep keys of an indexer. */
export const hasIndex = ({ layers }: Blueprint) => layers.some((kind) => keptOf(kind).expanded.index > 0);
/** Whether some layers see a window alone. */
export const hasWindows = ({ layers }: Blueprint) => layers.some(({ attention }) => attention.window !== undefined);

const known = new WeakMap<Blueprint, Partial<Record<Layout, LayerRows[]>>>();

/** The rows of every kind of layer, latents in this layout; made once for each, since many engines ask. */
export function rowsOf(blueprint: Blueprint, layout: Layout): LayerRows[] {
  const made = known.get(blueprint) ?? {};
  known.set(blueprint, made);
  made[layout] ??= layRows(blueprint, layout);
  return made[layout];
}

function layRows({ layers }: Blueprint, layout: Layout): LayerRows[] {
  return layers.map((kind) => {
    const { count, keeping, attention } = kind;
    const { owner, indexOwner } = keeping ?? {};
    const { keys, values, index, heads } = keptOf(kind).absorbed ? latentRows(kind, layout) : plainRows(attention);
    const own = owner === undefined;
    // A layer that reads another's entries may still keep the last tokens itself (DeepSeek-V4.1).
    const recent = own ? undefined : keeping?.recent;
    if (recent) return { count, keys, values, index: 0, heads, window: recent, beside: true, ...stateRows(attention) };
    return {
      count,
      keys: own ? keys : 0,
      values: own ? values : 0,
      index: indexOwner === undefined ? index : 0,
      heads,
      window: attention.window,
      keeping,
      ...stateRows(attention),
    };
  });
}

/** Numbers that a token leaves in one such layer, by rates where entries are pooled; not the last tokens whole beside those. */
export function valuesOf({ keys, values, index, beside, keeping = {} }: LayerRows): number {
  if (beside) return 0;
  const { every = 1, indexEvery = every } = keeping;
  return (keys + values) / every + index / indexEvery;
}

function latentRows({ attention: { sizes: z } }: LayerKind, layout: Layout) {
  const index = z.i ?? 0;
  const latent = z.c + z.r;
  switch (layout) {
    case "latents":
      return { keys: latent, values: 0, index, heads: 1 };
    case "twice":
      return { keys: latent, values: z.c, index, heads: 1 };
    case "heads":
      return { keys: z.h * z.e, values: z.h * z.v, index, heads: z.h };
    case "padded":
      return { keys: z.h * z.e, values: z.h * z.e, index, heads: z.h };
  }
}

/** A part called v is the value's row, one of the letter i the indexer's key, the others lie in the key's row. */
function plainRows({ variant, sizes }: Costing) {
  let [keys, values, index] = [0, 0, 0];
  for (const [name, axes] of cacheOf(variant, sizes)) {
    const numbers = numbersIn(axes, sizes);
    if (axes === "i") index += numbers;
    else if (name === "v") values += numbers;
    else keys += numbers;
  }
  return { keys, values, index, heads: Math.max(sizes.g, 1) };
}

function stateRows({ variant, sizes }: Costing): Pick<LayerRows, "memory" | "tail" | "taps"> {
  let [memory, tail] = [0, 0];
  for (const [, axes] of present(variant.state?.(sizes) ?? {})) {
    const numbers = numbersIn(axes, sizes);
    if (axes.startsWith("w-1 ")) tail += numbers;
    else memory += numbers;
  }
  return { memory, tail, taps: tail ? (sizes.w ?? 1) - 1 : 0 };
}
