/** What one of several ranks holds of a model: an attention of fewer heads is an attention, so all else follows from it. */
import { type Costing, parameterCount } from "../attention/define.ts";
import { type Blueprint, countParameters, type LayerKind } from "./blueprint.ts";
import { cacheBytes, parameterBytes, stateBytes, type Types } from "./cost.ts";
import { type CachedForm, keptOf } from "./keep.ts";
import { checkHeads, type Split } from "./split.ts";

const pieces = new WeakMap<Costing, Map<number, Costing>>();

/** The attention of one of so many tensor ranks: heads and groups are split, a group over more ranks than there are is on several. */
function cutAttention(attention: Costing, tensor: number): Costing {
  const known = pieces.get(attention) ?? new Map<number, Costing>();
  pieces.set(attention, known);
  const found = known.get(tensor);
  if (found) return found;
  const { g, b, h } = attention.sizes;
  const of = (groups: number) => (groups ? Math.max(1, groups / tensor) : groups);
  const sizes = { ...attention.sizes, h: h / tensor, g: of(g), ...(b !== undefined && { b: of(b) }) };
  const made = { ...attention, sizes };
  known.set(tensor, made);
  return made;
}

/** A layer as one of so many tensor ranks has it; experts are left whole, and the router is on every rank, which routes its own tokens. */
function cutLayer(kind: LayerKind, width: number, tensor: number): LayerKind {
  const { always, expert, experts, chosen, flops } = kind.feed;
  const router = Math.min(always, width * experts);
  const feed = { always: router + (always - router) / tensor, expert, experts, chosen, flops: flops / tensor };
  return { ...kind, attention: cutAttention(kind.attention, tensor), feed };
}

const ranks = new WeakMap<Blueprint, Map<number, Blueprint>>();

/** The model as each of so many tensor ranks has it, with all experts and layers. Throws ShapeError where they do not divide its heads. */
export function rankOf(blueprint: Blueprint, tensor: number): Blueprint {
  if (tensor === 1) return blueprint;
  const known = ranks.get(blueprint) ?? new Map<number, Blueprint>();
  ranks.set(blueprint, known);
  const found = known.get(tensor);
  if (found) return found;
  for (const kind of blueprint.layers) checkHeads(kind, tensor);
  const layers = blueprint.layers.map((kind) => cutLayer(kind, blueprint.width, tensor));
  const cut = { ...blueprint, layers, vocabulary: blueprint.vocabulary / tensor };
  // A file's bytes are those of a parameter, on average, wherever it lies.
  const share = countParameters(cut).total / countParameters(blueprint).total;
  const made = { ...cut, weightBytes: blueprint.weightBytes && blueprint.weightBytes * share };
  known.set(tensor, made);
  return made;
}

/** The share of all layers that the largest stage has. */
export function stageShare({ layers }: Blueprint, stages: number): number {
  const all = layers.reduce((sum, { count }) => sum + count, 0);
  return Math.ceil(all / stages) / all;
}

/** Bytes of the weights that a rank holds: of the first or the last stage, which have a table of the vocabulary. Host tables are not in it. */
export function rankWeights(blueprint: Blueprint, split: Split, { weightType }: Pick<Types, "weightType">): number {
  const { tensor, pipeline, expert } = split;
  const own = rankOf(blueprint, tensor);
  const { rest, experts } = countRank(own);
  const tables = own.vocabulary * own.width * (own.tied || pipeline > 1 ? 1 : 2);
  const layers = (rest + experts / expert) * stageShare(blueprint, pipeline);
  return (layers + tables + own.extra) * parameterBytes(blueprint, weightType);
}

const counts = new WeakMap<Blueprint, { readonly rest: number; readonly experts: number }>();

/** Parameters of all layers of a tensor rank: experts, and all else. */
function countRank(own: Blueprint) {
  const known = counts.get(own);
  if (known) return known;
  let [rest, experts] = [0, 0];
  for (const { count, attention, feed, extra } of own.layers) {
    rest += count * (parameterCount(attention.variant, attention.sizes) + feed.always + extra);
    experts += count * feed.expert * feed.experts;
  }
  const made = { rest, experts };
  counts.set(own, made);
  return made;
}

/** Bytes of one sequence's cache that a rank holds by tokens: positions are split over context ranks, states are not. */
export function rankCache(
  blueprint: Blueprint,
  split: Split,
  form: CachedForm,
  { cacheType }: Pick<Types, "cacheType">,
): (tokens: number) => number {
  const own = rankOf(blueprint, split.tensor);
  const state = stateBytes(own);
  const share = stageShare(blueprint, split.pipeline);
  return (tokens) => share * (state + (cacheBytes(own, form, cacheType, tokens) - state) / split.context);
}

/** Whether tensor ranks leave what a layer keeps whole, as they do a latent. */
export function isShared({ attention }: LayerKind, form: CachedForm, tensor: number): boolean {
  const before = keptOf({ attention })[form]?.values;
  const after = keptOf({ attention: cutAttention(attention, tensor) })[form]?.values;
  return before !== undefined && before > 0 && before === after;
}
