import type { View } from "../ops/attend/index.ts";
import type { Residual } from "../ops/products/index.ts";
import type { Rotation } from "../ops/rope/index.ts";
import type { Batch } from "../ops/sequence.ts";
import type { Random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Sizes by letter, the same letters everywhere: d width, h query heads, g key/value groups, n key dims without position,
 * r rotary key dims, v value dims, c latent rank, q query rank, o output rank. 0: the variant has no such axis.
 * e = n + r (whole key width) follows. Only some variants have: b groups of the output's rank, k and l ranks of factored keys
 * and values, w taps of a short convolution, i dims and j heads of an indexer, m keys that it selects.
 */
export type Sizes = Readonly<Record<"d" | "h" | "g" | "n" | "r" | "e" | "v" | "c" | "q" | "o", number>> &
  Readonly<Partial<Record<"b" | "k" | "l" | "w" | "i" | "j" | "m", number>>> & {
    /** Which projections carry a bias, in models that have one. */
    readonly bias?: "all" | "inputs" | undefined;
    /** Epsilon of the norms inside attention; 1e-6 unless given. */
    readonly eps?: number | undefined;
    /** The least log decay of a delta rule whose decay is bounded; -5 unless given. */
    readonly floor?: number | undefined;
    /** What a model adds to the plain variant; a variant lists those it knows. */
    readonly with?: Readonly<Partial<Record<Feature, true>>> | undefined;
  };

/** Parts that some models have and others of the same variant lack. */
export type Feature =
  /** A norm on each head's query and key, before position. */
  | "qkNorm"
  /** A norm on an entry that is key and value, and on each head's query. */
  | "entryNorm"
  /** A logit per head in the softmax, of a key without a value. */
  | "sinks"
  /** Keys, or values, mixed with those of the token before. */
  | "keyShift"
  | "valueShift"
  /** A norm on each head's output, and a gate on it: sigmoid or silu. */
  | "outputNorm"
  | "outputGate"
  | "siluGate"
  /** Stick-breaking that sees the query's own key. */
  | "current"
  /** Head factors, or dim factors, that are the same for all tokens. */
  | "fixedA"
  | "fixedB"
  /** Biases in short convolutions. */
  | "convBias"
  /** A delta rule's step up to 2. */
  | "doubled"
  /** A delta rule's log decay between a floor and 0, rather than unbounded. */
  | "boundedDecay"
  /** A delta rule's output gate without a bias. */
  | "plainGate"
  /** One sigmoid gate on each head's whole output. */
  | "headGate"
  /** A latent that no norm follows, as conversions from grouped heads leave it. */
  | "plainLatent"
  /** A bias on each head's query. */
  | "queryBias";

/** Where the tokens stand, how positions turn into angles, and which sequences lie one after the other. */
export interface At {
  readonly positions: Int32Array;
  readonly rotation: Rotation;
  readonly batch: Batch;
}

/** FLOPs of one form: per new token, per visible cached token (the new ones included), per visible (query, key) pair. */
export interface Cost {
  readonly token: number;
  readonly cached: number;
  readonly pair: number;
  /** Per new token and key that a sparse selection keeps, `m` of them or all there are. */
  readonly selected?: number | undefined;
  /** What of the above leads to a choice and so has no gradient. */
  readonly choosing?: { readonly token: number; readonly pair: number };
}

/** FLOPs of t new tokens over s in all that see `pairs` (query, key) pairs. */
export function costFlops(cost: Cost, z: Sizes, { t, s, pairs }: { t: number; s: number; pairs: number }): number {
  return cost.token * t + cost.cached * s + cost.pair * pairs + (cost.selected ?? 0) * t * Math.min(z.m ?? 0, s);
}

/** Tensors of one kind by name: what a token leaves in the cache, what it asks with, a state. */
export type Parts = Readonly<Record<string, Tensor>>;

/** Parameter or cache axes: "c h n" is an array of shape [c, h, n]; undefined where the sizes leave it out. */
type Axes = Readonly<Record<string, string | undefined>>;
type Held<P extends Axes> = { readonly [K in keyof P]: undefined extends P[K] ? Tensor | undefined : Tensor };
/** What `project` gives: a part that the sizes leave out may be missing. */
type Given<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: T[K];
};

/**
 * A state of fixed size: with a cache, tensors that `project` and the forms read and leave as they are after the new tokens;
 * without one, nothing, and every sequence of the batch starts from zeros.
 */
type State<S extends string> = Readonly<Record<S, Tensor>> | undefined;

/** How each number of a new parameter is drawn. */
export type Initial = (random: Random, z: Sizes) => number;

/** One way to compute a variant. All forms of a variant are the same function of the same parameters and cache. */
export interface Form<P extends Axes, K extends Axes, S extends string> {
  /** What this form is for, in a line. */
  readonly about: string;
  readonly over?: undefined;
  /** Tokens that it takes at a time: fewer take it as long as so many. */
  readonly block?: number | undefined;
  /** Why these sizes have no such form; undefined where they do. */
  refuses?(z: Sizes): string | undefined;
  cost(z: Sizes): Cost;
  /** Each head's output `[t, h, v]`. */
  run(p: Held<P>, parts: Held<K>, view: View, z: Sizes, at: At, state: State<S>): Tensor;
}

/** A form that reads not what is cached but what that unfolds to. */
export type Unfolding<P extends Axes, K extends Axes, S extends string> = Omit<Form<P, K, S>, "over"> & {
  readonly over: "unfolded";
};

/** A variant: data and pure functions, nothing else. Costs, checks, initialisation, caches and tables follow from it. */
export interface Definition<
  P extends Axes,
  Q extends Axes,
  C extends Axes,
  S extends string = never,
  U extends Axes = Axes,
> {
  readonly name: string;
  readonly source: string;
  /** Which optional parts it knows; others are refused. */
  readonly features?: readonly Feature[];
  /** Whether its forms stay one function under norms on queries and keys, and why, in a sentence. */
  readonly qkNorm: string;
  /** Whether it has a sliding window; it has unless this says false. */
  readonly window?: false;
  /** Whether results over some of the keys can be merged by their log-sum-exp; they can unless this says false. */
  readonly merges?: false;
  /** Rules the sizes must keep, each as [holds, axis, rule]. */
  rules(z: Sizes): readonly (readonly [holds: boolean, axis: string, rule: string])[];
  params(z: Sizes): P;
  /** How parameters start that do not follow the general rule (train/initial.ts). */
  readonly initial?: Readonly<Record<string, Initial>>;
  /** What a token asks with. */
  query(z: Sizes): Q;
  /** What a token leaves behind. */
  cache(z: Sizes): C;
  /** What that unfolds to, for forms that read it so: keys and values per head, say. It can be cached instead (unfold.ts). */
  unfolded?(z: Sizes): U;
  /** Unfolds rows of the cache, each by itself. */
  unfold?(p: Held<P>, cached: Held<NoInfer<C>>, z: Sizes): Given<Held<NoInfer<U>>>;
  /** Cached parts that stay float32 in every cache: sums that grow, of which differences count. */
  readonly exact?: readonly (string & keyof C)[];
  /** What the whole past leaves behind, whatever its length (linear attention, running sums, short convolutions). */
  state?(z: Sizes): Readonly<Record<S, string>>;
  scale(z: Sizes): number;
  /** Cached numbers that one new token reads after `context` others, where that is not all of them. */
  reads?(z: Sizes, context: number): number;
  /** Hidden states `[t, d]` to the queries and to what is cached. */
  project(p: Held<P>, x: Tensor, at: At, z: Sizes, state: State<NoInfer<S>>): Given<Held<NoInfer<Q & C>>>;
  readonly forms: Readonly<
    Record<string, Form<P, NoInfer<Q & C>, NoInfer<S>> | Unfolding<P, NoInfer<Q & U>, NoInfer<S>>>
  >;
  /** Heads' outputs `[t, h, v]` to `[t, d]`; added in place to the residual, which it then gives, where it knows how. */
  output(p: Held<P>, o: Tensor, at: At, z: Sizes, parts: Held<NoInfer<Q & C>>, residual?: Residual): Tensor;
}

/** A definition with its names forgotten: what lists and loops hold. */
export type Variant = Definition<Axes, Axes, Axes, string>;

/** What costs follow from: a variant, or what stands for one that Biform can plan and cannot run. */
export type Costed = Pick<
  Variant,
  "name" | "source" | "features" | "window" | "exact" | "rules" | "params" | "cache" | "unfolded" | "state" | "reads"
> & {
  readonly forms: Readonly<
    Record<string, Pick<Variant["forms"][string], "about" | "over" | "block" | "refuses" | "cost">>
  >;
};

/** A costed variant at sizes, as far as its cost goes. */
export interface Costing {
  readonly variant: Costed;
  readonly sizes: Sizes;
  readonly window?: number | undefined;
}

/** Checks a definition's types as it is written and gives it as a `Variant`. */
export function defineAttention<
  const P extends Axes,
  const Q extends Axes,
  const C extends Axes,
  S extends string = never,
  const U extends Axes = Record<never, never>,
>(definition: Definition<P, Q, C, S, U>): Variant {
  return definition as unknown as Variant;
}

/** An axes table without the entries that the sizes leave out. */
export function present(axes: Axes): [name: string, axes: string][] {
  return Object.entries(axes).filter((entry): entry is [string, string] => entry[1] !== undefined);
}

/** The letters of axes strings, each with what its size is lessened by: there are few such strings, and each is asked for often. */
const letters = new Map<string, readonly (readonly [letter: "d", less: number])[]>();

function lettersOf(axes: string) {
  let found = letters.get(axes);
  if (!found) {
    found = axes.split(" ").map((letter) => [letter[0] as "d", letter.endsWith("-1") ? 1 : 0] as const);
    letters.set(axes, found);
  }
  return found;
}

/** Shape of an axes string at these sizes: "c h n" -> [c, h, n]; "w-1" is one less than w. */
export function shapeOf(axes: string, z: Sizes): number[] {
  return lettersOf(axes).map(([letter, less]) => (z[letter] ?? 0) - less);
}

/** Numbers in an array of such a shape. */
export function numbersIn(axes: string, z: Sizes): number {
  let product = 1;
  for (const [letter, less] of lettersOf(axes)) product *= (z[letter] ?? 0) - less;
  return product;
}

/** The parameters a variant has at these sizes, with their axes. */
export function paramsOf(variant: Costed, z: Sizes): [name: string, axes: string][] {
  return present(variant.params(z));
}

/** What a token leaves in the cache at these sizes, with the axes. */
export function cacheOf(variant: Costed, z: Sizes): [name: string, axes: string][] {
  return present(variant.cache(z));
}

/** Numbers a token leaves in the cache of one layer. */
export function cacheValues(variant: Costed, z: Sizes): number {
  return countValues(cacheOf(variant, z), z);
}

/** Numbers in the fixed-size state of one layer and sequence; 0 for most softmax attention. */
export function stateValues(variant: Costed, z: Sizes): number {
  return countValues(Object.entries(variant.state?.(z) ?? {}), z);
}

/**
 * Bytes that decoding one token after `context` others moves in one layer: the cache at 16 bits read, the state at 32 read and
 * written.
 */
export function decodeBytes(variant: Costed, z: Sizes, context: number): number {
  return 2 * (variant.reads?.(z, context) ?? cacheValues(variant, z) * context) + 8 * stateValues(variant, z);
}

/** Visible (query, key) pairs of t new tokens of s in all. */
export function pairsOf(t: number, s: number, window = Number.POSITIVE_INFINITY): number {
  const cached = s - t;
  /** Those that see everything. */
  const young = Math.max(0, Math.min(t, window - cached));
  return young * cached + (young * (young + 1)) / 2 + (t > young ? (t - young) * window : 0);
}

const counted = new WeakMap<Sizes, { readonly variant: Costed; readonly count: number }>();

/** Parameters of one layer's attention. */
export function parameterCount(variant: Costed, z: Sizes): number {
  const known = counted.get(z);
  if (known?.variant === variant) return known.count;
  const count = countValues(paramsOf(variant, z), z);
  counted.set(z, { variant, count });
  return count;
}

/** The forms a variant has at these sizes, the one for training first. */
export function formNames(variant: Costed, z: Sizes): string[] {
  return Object.keys(variant.forms).filter((name) => !variant.forms[name]!.refuses?.(z));
}

/** Numbers in parts with these axes. */
export function countValues(parts: readonly (readonly [name: string, axes: string])[], z: Sizes): number {
  let sum = 0;
  for (const [, axes] of parts) sum += numbersIn(axes, z);
  return sum;
}
