/** What one of several ranks holds of a model: an attention of fewer heads is an attention, so all else follows from it. */
import type { Costing } from "../attention/define.ts";
import type { Blueprint, LayerKind } from "./blueprint.ts";
import { cacheByTokens, stateBytes, type Types } from "./cost.ts";
import { type CachedForm, keptOf } from "./keep.ts";
import { countByPart, shippedWidths, widthsOf } from "./part.ts";
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
  const shipped = { weightBytes: undefined, widths: shippedWidths(blueprint) };
  const made = { ...blueprint, ...shipped, layers, vocabulary: blueprint.vocabulary / tensor };
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
  const own = countByPart(rankOf(blueprint, tensor));
  const widths = widthsOf(blueprint, weightType);
  const layers = own.attention * widths.attention + own.feed * widths.feed + (own.expert * widths.expert) / expert;
  const [norms, rest] = [own.norm - blueprint.extra, blueprint.extra].map((norm) => norm * widths.norm);
  const [embedding, head] = [own.embedding * widths.embedding, own.head * widths.head];
  const tables = pipeline > 1 ? Math.max(embedding, head) : embedding + head;
  return (layers + norms!) * stageShare(blueprint, pipeline) + tables + rest!;
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
  const bytesOf = cacheByTokens(own, form, cacheType);
  return (tokens) => share * (state + (bytesOf(tokens) - state) / split.context);
}

/** Whether tensor ranks leave what a layer keeps whole, as they do a latent. */
export function isShared({ attention }: LayerKind, form: CachedForm, tensor: number): boolean {
  const before = keptOf({ attention })[form]?.values;
  const after = keptOf({ attention: cutAttention(attention, tensor) })[form]?.values;
  return before !== undefined && before > 0 && before === after;
}
