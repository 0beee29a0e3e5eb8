import type { View } from "../ops/attend/index.ts";
import type { Rotation } from "../ops/rope/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Sizes by letter, the same letters everywhere: d width, h query heads, g key/value groups, n key dims without position,
 * r rotary key dims, v value dims, c latent rank, q query rank, o output rank. 0: the variant has no such axis.
 * e = n + r (whole key width) follows.
 */
export type Sizes = Readonly<Record<"d" | "h" | "g" | "n" | "r" | "e" | "v" | "c" | "q" | "o", number>> & {
  /** Which projections carry a bias, in models that have one. */
  readonly bias?: "all" | "inputs";
};

/** Where the tokens stand and how positions turn into angles. */
export interface At {
  readonly positions: Int32Array;
  readonly rotation: Rotation;
}

/** FLOPs of one form: per new token, per visible cached token (the new ones included), per visible (query, key) pair. */
export interface Cost {
  readonly token: number;
  readonly cached: number;
  readonly pair: number;
}

export type Parts = Readonly<Record<string, Tensor>>;

/** Parameter or cache axes: "c h n" is an array of shape [c, h, n]; undefined where the sizes leave it out. */
type Axes = Readonly<Record<string, string | undefined>>;
type Held<P extends Axes> = { readonly [K in keyof P]: undefined extends P[K] ? Tensor | undefined : Tensor };

/** What a form gives: each head's output `[t, h, v]`, and for variants with a state of fixed size, the state after it. */
export type FormResult = Tensor | { readonly out: Tensor; readonly state: Parts };

/** One way to compute a variant. All forms of a variant are the same function of the same parameters and cache. */
export interface Form<P extends Axes, K extends string> {
  /** What this form is for, in a line. */
  readonly about: string;
  cost(z: Sizes): Cost;
  run(p: Held<P>, parts: Readonly<Record<K, Tensor>>, view: View, z: Sizes): FormResult;
}

/** A variant: data and pure functions, nothing else. Costs, checks, initialisation, caches and tables follow from it. */
export interface Definition<P extends Axes, Q extends string, C extends string, S extends string = never> {
  readonly name: string;
  readonly source: string;
  /** Rules the sizes must keep, each as [holds, axis, rule]. */
  rules(z: Sizes): readonly (readonly [holds: boolean, axis: string, rule: string])[];
  params(z: Sizes): P;
  /** What a token asks with. */
  query(z: Sizes): Readonly<Record<Q, string>>;
  /** What a token leaves behind. */
  cache(z: Sizes): Readonly<Record<C, string>>;
  /** What the whole past leaves behind, whatever its length (linear attention). */
  state?(z: Sizes): Readonly<Record<S, string>>;
  scale(z: Sizes): number;
  /** Hidden states `[t, d]` to the queries and to what is cached. */
  project(p: Held<P>, x: Tensor, at: At, z: Sizes): Readonly<Record<NoInfer<Q | C>, Tensor>>;
  readonly forms: Readonly<Record<string, Form<P, NoInfer<Q | C | S>>>>;
  /** Heads' outputs `[t, h, v]` to `[t, d]`. */
  output(p: Held<P>, o: Tensor, at: At, z: Sizes): Tensor;
}

/** A definition with its names forgotten: what lists and loops hold. */
export type Variant = Definition<Axes, string, string, string>;

/** Checks a definition's types as it is written and gives it as a `Variant`. */
export function defineAttention<P extends Axes, Q extends string, C extends string, S extends string = never>(
  definition: Definition<P, Q, C, S>,
): Variant {
  return definition as unknown as Variant;
}

/** Shape of an axes string at these sizes: "c h n" -> [c, h, n]. */
export function shapeOf(axes: string, z: Sizes): number[] {
  return axes.split(" ").map((letter) => z[letter as "d"]);
}

/** The parameters a variant has at these sizes, with their axes. */
export function paramsOf(variant: Variant, z: Sizes): [name: string, axes: string][] {
  return Object.entries(variant.params(z)).filter((entry): entry is [string, string] => entry[1] !== undefined);
}

/** Numbers a token leaves in the cache of one layer. */
export function cacheValues(variant: Variant, z: Sizes): number {
  return total(Object.values(variant.cache(z)), z);
}

/** Numbers in the fixed-size state of one layer and sequence; 0 for softmax attention. */
export function stateValues(variant: Variant, z: Sizes): number {
  return total(Object.values(variant.state?.(z) ?? {}), z);
}

/** Parameters of one layer's attention. */
export function parameterCount(variant: Variant, z: Sizes): number {
  return total(
    paramsOf(variant, z).map(([, axes]) => axes),
    z,
  );
}

function total(axes: readonly string[], z: Sizes): number {
  return axes.reduce((sum, a) => sum + shapeOf(a, z).reduce((product, n) => product * n, 1), 0);
}
