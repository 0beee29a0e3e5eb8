import { type Costing, cacheValues, parameterCount } from "../attention/define.ts";
import type { Keeping } from "../attention/keeping.ts";
import { expertFlops, type FeedForward, type Model } from "../model/model.ts";
import { ShapeError } from "../tensor/error.ts";
import type { ByPart, Products } from "./part.ts";

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
  readonly keeping?: Keeping | undefined;
}

/** Parameters of which a token reads a row or a few: they may lie in the host's memory (embeddings per layer, Engram). */
export interface Table {
  readonly name: string;
  readonly parameters: number;
  /** Parameters that a token reads. */
  readonly read: number;
}

/** Layers that propose further tokens: parameters and caches beside those of the model (MTP, DSpark, EAGLE). */
export interface Draft {
  readonly name: string;
  readonly layers: readonly LayerKind[];
  /** Parameters that stand in no layer: what joins a hidden state and an embedding, norms. */
  readonly extra: number;
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
  /** Parameters that stand in no layer and in no table: the last norm. */
  readonly extra: number;
  /** Tables beside those of the vocabulary. */
  readonly tables?: readonly Table[] | undefined;
  /** Layers that propose further tokens, which no figure of the model itself counts. */
  readonly draft?: Draft | undefined;
  /** What was assumed where a config leaves something open, or was told to be read as something else. */
  readonly assumed?: readonly string[] | undefined;
  /** The most tokens that the model is declared for. */
  readonly maxContext?: number | undefined;
  /** Bytes of all weights as they are shipped, where files or a config say so, and of a parameter by part. */
  readonly weightBytes?: number | undefined;
  readonly widths?: ByPart | undefined;
  /** The type that products with these weights are computed in, where it is not that of the numbers between them: activations become it, too. */
  readonly products?: Products | undefined;
  /** The type of most weights where all are plain numbers, which engines load in another type if told to. */
  readonly floats?: "float32" | "float16" | "bfloat16" | undefined;
  /** The types that weights are shipped in, in a few words. */
  readonly shipped?: string | undefined;
  /** Classes that a config names, and what it says that the stock classes of its model_type do not heed. */
  readonly classes?: readonly string[] | undefined;
  readonly unheeded?: readonly string[] | undefined;
  /** Where the sizes are from, for presets. */
  readonly source?: string | undefined;
}

/** The blueprint with more that was assumed of it. */
export const assume = (blueprint: Blueprint, ...told: readonly string[]): Blueprint =>
  told.length ? { ...blueprint, assumed: [...(blueprint.assumed ?? []), ...told] } : blueprint;

/**
 * The blueprint with another model in place of its own draft layers: a head, or a smaller model with tables of its own. Whether its
 * tokens are the model's nobody can tell from sizes; where they cannot be, that is told.
 */
export function draftBy(blueprint: Blueprint, other: Blueprint): Blueprint {
  const { name, layers, extra, vocabulary } = other;
  const { tables, hosted } = countParameters(other);
  const drafted = { ...blueprint, draft: { name, layers, extra: extra + tables + hosted } };
  // Smaller ones are heads over some of the model's tokens; vocabularies of one family are padded to more or less.
  if (vocabulary <= blueprint.vocabulary + PADDED) return drafted;
  return assume(
    drafted,
    `${name} has ${vocabulary} tokens and ${blueprint.name} ${blueprint.vocabulary}: what it proposes has to be translated`,
  );
}

/** Rows by which two tables of one vocabulary may differ (Qwen2.5 and Qwen3 have 151,936 or 152,064). */
const PADDED = 1024;

/** The draft layers as a model of their own, without tables: what they cost is counted as for any other. */
export function draftOf({ draft, ...model }: Blueprint): Blueprint | undefined {
  if (!draft) return undefined;
  const { layers, extra, name } = draft;
  return { ...model, name, layers, extra, vocabulary: 0, tied: true, tables: undefined, weightBytes: undefined };
}

/** The blueprint of a model that Biform runs. */
export function blueprintOf(model: Model, name: string, architecture = "spec"): Blueprint {
  const { vocabulary, width: d, tied } = model;
  checkOwners(model.layers.map(({ attention }) => ({ attention, keeping: attention.keeping })));
  const kinds = Map.groupBy(model.layers, ({ attention: { variant, sizes, window, keeping }, feed }) =>
    JSON.stringify([variant.name, sizes, window, keeping, feed]),
  );
  const layers = [...kinds.values()].map((alike): LayerKind => {
    const { attention, feed } = alike[0]!;
    return { count: alike.length, attention, feed: feedOf(feed, d), extra: 2 * d, keeping: attention.keeping };
  });
  return { name, architecture, vocabulary, width: d, tied, layers, extra: d };
}

/**
 * Throws ShapeError where a layer, in the order of the model, reads the cache of one that comes later, that has none of its own or
 * whose entries have other sizes.
 */
export function checkOwners(layers: readonly Pick<LayerKind, "attention" | "keeping">[]): void {
  const fail = (i: number, key: string, owner: number, expected: string): never => {
    throw new ShapeError(`layer ${i}: ${key} got ${owner}, expected ${expected}; name another layer`);
  };
  for (const [i, { attention, keeping = {} }] of layers.entries())
    for (const key of ["owner", "indexOwner"] as const) {
      const owner = keeping[key];
      if (owner === undefined) continue;
      if (!(Number.isInteger(owner) && owner >= 0 && owner < i))
        fail(i, key, owner, `a layer before it, from 0 to ${i - 1}`);
      const { attention: theirs, keeping: other } = layers[owner]!;
      if (other?.[key] !== undefined)
        fail(i, key, owner, `one that keeps its own, and not that of layer ${other[key]}`);
      const [mine, its] = [attention, theirs].map(({ variant, sizes }) => cacheValues(variant, sizes));
      if (key === "owner" && mine! > its!)
        fail(i, key, owner, `one with entries of ${mine} numbers, and not of ${its}`);
    }
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

/** Parameters: all, those that work on one token (not the experts that it does not visit), and those of tables by what they are of. */
export function countParameters({ vocabulary, width, tied, layers, extra, tables: others = [] }: Blueprint) {
  const tables = vocabulary * width * (tied ? 1 : 2);
  const hosted = others.reduce((sum, { parameters }) => sum + parameters, 0);
  const read = others.reduce((sum, { read }) => sum + read, 0);
  let [total, active] = [tables + extra + hosted, tables + extra + read];
  for (const { count, attention, feed, extra } of layers) {
    const rest = parameterCount(attention.variant, attention.sizes) + feed.always + extra;
    total += count * (rest + feed.expert * feed.experts);
    active += count * (rest + feed.expert * feed.chosen);
  }
  return { total, active, tables, hosted };
}
