import { costFlops, formNames, pairsOf, paramsOf, shapeOf } from "../attention/define.ts";
import { type Attention, checkSizes } from "../attention/layer.ts";
import type { Choice } from "../ops/route/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** The feed-forward half of a block: SwiGLU of width f, or a choice of experts beside shared ones. */
export type FeedForward =
  | { readonly kind: "dense"; readonly f: number; readonly bias?: boolean | undefined }
  | {
      readonly kind: "experts";
      /** Width of each expert, number of experts, and width of the shared one (0: none). */
      readonly f: number;
      readonly x: number;
      readonly shared: number;
      readonly routing: Routing;
    };

/** Which experts a token visits, and with what weights (see `route`). */
export type Routing = Choice;

/** A decoder-only transformer: pre-norm blocks of one attention and one feed-forward each. */
export interface Model {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: readonly { readonly attention: Attention; readonly feed: FeedForward }[];
  /** The output projection is the embedding's transpose. */
  readonly tied: boolean;
  /** Epsilon of the norms outside attention. */
  readonly eps: number;
  /** Factors that MiniCPM puts on the embeddings, on each branch before it is added, and on what goes into the head. */
  readonly scales?: { readonly embedding: number; readonly branch: number; readonly head: number };
}

/** A parameter: its name, its axes for the optimiser and for initialisation, and its shape. */
export interface Parameter {
  readonly name: string;
  readonly axes: string;
  readonly shape: readonly number[];
}

/** All parameters of a model, in a fixed order. Throws ShapeError where sizes do not fit. */
export function parametersOf(model: Model): Parameter[] {
  const { vocabulary, width: d } = model;
  const list: Parameter[] = [{ name: "embed", axes: "vocabulary d", shape: [vocabulary, d] }];
  const add = (name: string, axes: string, ...shape: number[]) => list.push({ name, axes, shape });
  model.layers.forEach(({ attention, feed }, i) => {
    const { variant, sizes } = attention;
    checkSizes(variant, sizes);
    if (sizes.d !== d) throw new ShapeError(`layer ${i}: attention width got ${sizes.d}, expected the model's ${d}`);
    add(`layers.${i}.normAttention`, "d", d);
    for (const [name, axes] of paramsOf(variant, sizes))
      add(`layers.${i}.attention.${name}`, axes, ...shapeOf(axes, sizes));
    add(`layers.${i}.normFeed`, "d", d);
    const mlp = (prefix: string, f: number, bias = false) => {
      add(`${prefix}wGate`, "d f", d, f);
      if (bias) add(`${prefix}bGate`, "f", f);
      add(`${prefix}wUp`, "d f", d, f);
      if (bias) add(`${prefix}bUp`, "f", f);
      add(`${prefix}wDown`, "f d", f, d);
      if (bias) add(`${prefix}bDown`, "d", d);
    };
    if (feed.kind === "dense") mlp(`layers.${i}.feed.`, feed.f, feed.bias);
    else {
      add(`layers.${i}.feed.wRoute`, "d x", d, feed.x);
      if (feed.routing.scores === "sigmoid") add(`layers.${i}.feed.bRoute`, "x", feed.x);
      add(`layers.${i}.feed.wGate`, "x d f", feed.x, d, feed.f);
      add(`layers.${i}.feed.wUp`, "x d f", feed.x, d, feed.f);
      add(`layers.${i}.feed.wDown`, "x f d", feed.x, feed.f, d);
      if (feed.shared) mlp(`layers.${i}.feed.shared.`, feed.shared);
    }
  });
  add("norm", "d", d);
  if (!model.tied) add("head", "d vocabulary", d, vocabulary);
  return list;
}

/** All forms that any layer of a model has; a layer without a form of a name runs in its first. */
export function formsOf(model: Model): string[] {
  return [...new Set(model.layers.flatMap(({ attention }) => formNames(attention.variant, attention.sizes)))];
}

/** Number of parameters, the embedding once. */
export function modelSize(model: Model): number {
  return parametersOf(model).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/**
 * FLOPs of one forward pass over a sequence of `t` new tokens after `cached` ones: projections, attention by its form's
 * declared cost, feed-forward, head. Embedding look-up, norms and softmax are not counted, as is usual.
 */
export function forwardFlops(model: Model, t: number, cached = 0, form?: string): number {
  const s = t + cached;
  let flops = 2 * t * model.width * model.vocabulary;
  for (const { attention, feed } of model.layers) {
    const { variant, sizes, window } = attention;
    const names = formNames(variant, sizes);
    const cost = variant.forms[form && names.includes(form) ? form : names[0]!]!.cost(sizes);
    flops += costFlops(cost, sizes, { t, s, pairs: pairsOf(t, s, window) });
    const d = model.width;
    if (feed.kind === "dense") flops += 6 * t * d * feed.f;
    else flops += t * (2 * d * feed.x + feed.routing.perToken * expertFlops(d, feed.f) + 6 * d * feed.shared);
  }
  return flops;
}

/** FLOPs of one expert of width f on one token of width d, with its weight on what is inside. */
export function expertFlops(d: number, f: number): number {
  return (6 * d + 2) * f;
}

/**
 * FLOPs of training on a sequence of `t` tokens: three forward passes, but one of what leads to a choice of keys, and on a tape
 * every expert sees every token.
 */
export function trainFlops(model: Model, t: number): number {
  const choosing = model.layers.map(({ attention: { variant, sizes, window } }) => {
    const cost = variant.forms[formNames(variant, sizes)[0]!]!.cost(sizes).choosing;
    return cost ? cost.token * t + cost.pair * pairsOf(t, t, window) : 0;
  });
  const others = model.layers.map(({ feed }) =>
    feed.kind === "experts" ? t * (feed.x - feed.routing.perToken) * expertFlops(model.width, feed.f) : 0,
  );
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  return 3 * (forwardFlops(model, t) + sum(others)) - 2 * sum(choosing);
}
