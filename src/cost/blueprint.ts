import { type Costing, parameterCount } from "../attention/define.ts";
import { expertFlops, type FeedForward, type Model } from "../model/model.ts";

/** The feed-forward half of a layer in parameters: those that every token uses, and experts of which it visits some. */
export interface Feed {
  /** Of a dense MLP, of shared experts, of the router. */
  readonly always: number;
  /** Of one routed expert; how many of those there are, and how many a token visits. 0 where there are none. */
  readonly expert: number;
  readonly experts: number;
  readonly chosen: number;
  /** FLOPs of one token. */
  readonly flops: number;
}

/** Layers that are alike. */
export interface LayerKind {
  readonly count: number;
  readonly attention: Costing;
  readonly feed: Feed;
  /** Parameters beside attention and feed-forward: norms. */
  readonly extra: number;
  /** The cache has one entry for so many tokens, and the last `recent` tokens whole (DeepSeek-V4). */
  readonly compression?: { readonly every: number; readonly recent: number } | undefined;
  /** These layers read another layer's cache and keep none (Gemma 3n). */
  readonly borrows?: true | undefined;
}

/** What costs follow from: less than a model that runs (no rotation, no routing, no names of tensors). */
export interface Blueprint {
  readonly name: string;
  /** A config's `model_type`, a GGUF file's architecture, or "spec". */
  readonly architecture: string;
  readonly vocabulary: number;
  readonly width: number;
  readonly tied: boolean;
  readonly layers: readonly LayerKind[];
  /** Parameters that stand in no layer and in no table of the vocabulary: the last norm. */
  readonly extra: number;
  /** The most tokens that the model is declared for. */
  readonly maxContext?: number | undefined;
  /** Bytes of all weights as a file has them, where a file says so. */
  readonly weightBytes?: number | undefined;
  /** Where the sizes are from, for presets. */
  readonly source?: string | undefined;
}

/** The blueprint of a model that Biform runs. */
export function blueprintOf(model: Model, name: string, architecture = "spec"): Blueprint {
  const { vocabulary, width: d, tied } = model;
  const kinds = Map.groupBy(model.layers, ({ attention: { variant, sizes, window }, feed }) =>
    JSON.stringify([variant.name, sizes, window, feed]),
  );
  const layers = [...kinds.values()].map((alike): LayerKind => {
    const { attention, feed } = alike[0]!;
    return { count: alike.length, attention, feed: feedOf(feed, d), extra: 2 * d };
  });
  return { name, architecture, vocabulary, width: d, tied, layers, extra: d };
}

/** Parameters and FLOPs of a feed-forward half that Biform runs, at width d. */
export function feedOf(feed: FeedForward, d: number): Feed {
  if (feed.kind === "dense") {
    const always = 3 * d * feed.f + (feed.bias ? 2 * feed.f + d : 0);
    return { always, expert: 0, experts: 0, chosen: 0, flops: 6 * d * feed.f };
  }
  const { f, x, shared, routing } = feed;
  return {
    always: d * x + (routing.scores === "sigmoid" ? x : 0) + 3 * d * shared,
    expert: 3 * d * f,
    experts: x,
    chosen: routing.perToken,
    flops: 2 * d * x + routing.perToken * expertFlops(d, f) + 6 * d * shared,
  };
}

/** Parameters: all, those that work on one token (all but the experts that it does not visit), and the vocabulary's tables. */
export function countParameters({ vocabulary, width, tied, layers, extra }: Blueprint) {
  const tables = vocabulary * width * (tied ? 1 : 2);
  let [total, active] = [tables + extra, tables + extra];
  for (const { count, attention, feed, extra } of layers) {
    const rest = parameterCount(attention.variant, attention.sizes) + feed.always + extra;
    total += count * (rest + feed.expert * feed.experts);
    active += count * (rest + feed.expert * feed.chosen);
  }
  return { total, active, tables };
}
