import { type Costing, costFlops, pairsOf, parameterCount } from "../attention/define.ts";
import { type Blueprint, countParameters, type Feed, type LayerKind } from "./blueprint.ts";
import { type CachedForm, type Kept, keptAs, keptOf } from "./keep.ts";
import { longestWithin } from "./longest.ts";
import { type ByPart, countByPart, weigh, widthsOf } from "./part.ts";
import { type Dtype, dtypes, type WeightType } from "./type.ts";

/** What a model keeps, and the form that its attention computes in; layers that have one form run in that. */
export interface Way {
  readonly cached: CachedForm;
  readonly form: CachedForm;
}

/** New tokens of a sequence, all of its tokens with them, sequences, and new tokens whose logits are asked for (all unless given). */
export interface Span {
  readonly t: number;
  readonly s: number;
  readonly batch?: number;
  readonly logits?: number;
}

/** Types that numbers are kept in. */
export interface Types {
  readonly weightType: WeightType;
  readonly cacheType: Dtype;
}

const forms = new WeakMap<Blueprint["layers"], CachedForm[]>();

/** The forms that a model can keep, the expanded one first. */
export function formsOf({ layers }: Blueprint): CachedForm[] {
  const known = forms.get(layers);
  if (known) return known;
  const found: CachedForm[] = layers.some((kind) => keptOf(kind).absorbed) ? ["expanded", "absorbed"] : ["expanded"];
  forms.set(layers, found);
  return found;
}

/** The ways a model can run: over what it keeps, and over keys and values that each step unfolds from all of the cache. */
export function waysOf({ layers }: Blueprint): Way[] {
  const ways: Way[] = [{ cached: "expanded", form: "expanded" }];
  const absorbed = layers.flatMap((kind) => keptOf(kind).absorbed ?? []);
  for (const form of ["absorbed", "expanded"] as const)
    if (absorbed.some(({ forms }) => forms[form])) ways.push({ cached: "absorbed", form });
  return ways;
}

/** Numbers that a token leaves in one layer: by its rate where entries stand for several tokens, none where they are another layer's. */
export function layerValues(kind: LayerKind, form: CachedForm): number {
  const { values, index } = keptAs(kind, form);
  return perToken(kind, { entry: values - index, index });
}

/** Numbers that a token leaves per layer, on average over all of them. */
export function valuesPerLayer({ layers }: Blueprint, form: CachedForm): number {
  const count = layers.reduce((sum, { count }) => sum + count, 0);
  return layers.reduce((sum, kind) => sum + kind.count * layerValues(kind, form), 0) / count;
}

/** Bytes that one more token of one sequence leaves in all layers while no window is full. */
export function bytesPerToken({ layers }: Blueprint, form: CachedForm, type: Dtype): number {
  return layers.reduce((sum, kind) => sum + kind.count * perToken(kind, entryBytes(keptAs(kind, form), type)), 0);
}

/** Bytes of `context` tokens of one sequence in all layers, states of fixed size included. */
export function cacheBytes(blueprint: Blueprint, form: CachedForm, type: Dtype, context: number): number {
  return cacheByTokens(blueprint, form, type)(context);
}

/** The same by tokens: what a search asks many times. */
export function cacheByTokens({ layers }: Blueprint, form: CachedForm, type: Dtype): (context: number) => number {
  const rows = layers.map((kind) => {
    const kept = keptAs(kind, form);
    return { kind, entry: entryBytes(kept, type), state: 4 * kept.state };
  });
  return (context) => {
    let sum = 0;
    for (const { kind, entry, state } of rows) sum += kind.count * (heldBytes(kind, entry, context) + state);
    return sum;
  };
}

/** Bytes of states of fixed size of one sequence in all layers; a state is always float32. */
export function stateBytes({ layers }: Blueprint): number {
  return layers.reduce((sum, kind) => sum + kind.count * 4 * keptOf(kind).expanded.state, 0);
}

/** Bytes of one layer's cache of `context` tokens of one sequence, a state of fixed size included. */
export function layerBytes(kind: LayerKind, form: CachedForm, type: Dtype, context: number): number {
  const kept = keptAs(kind, form);
  return heldBytes(kind, entryBytes(kept, type), context) + 4 * kept.state;
}

/** An amount of what belongs to an entry itself and of its indexer's key: numbers, or bytes. */
interface Entry {
  readonly entry: number;
  readonly index: number;
}

function entryBytes({ values, exact, index }: Kept, type: Dtype): Entry {
  return { entry: (values - index - exact) * dtypes[type] + exact * 4, index: index * dtypes[type] };
}

/** What a token adds, by rates: nothing of what another layer owns. */
function perToken({ keeping = {} }: LayerKind, of: Entry): number {
  const { every = 1, indexEvery = every, owner, indexOwner } = keeping;
  return (owner === undefined ? of.entry / every : 0) + (indexOwner === undefined ? of.index / indexEvery : 0);
}

/** What a layer still holds after `seen` tokens: its own entries within its window, and beside them the last tokens whole, without keys of an indexer. */
function heldBytes({ attention: { window }, keeping = {} }: LayerKind, of: Entry, seen: number): number {
  const { every = 1, indexEvery = every, recent = 0, owner, indexOwner } = keeping;
  const within = Math.min(seen, window ?? seen);
  const entries = owner === undefined ? Math.floor(within / every) : 0;
  const keys = indexOwner === undefined ? Math.floor(within / indexEvery) : 0;
  return of.entry * (entries + Math.min(seen, recent)) + of.index * keys;
}

/** Bytes of all parameters in a type; of "file", those that they are shipped in. */
export function weightBytes(blueprint: Blueprint, type: WeightType): number {
  if (type === "file" && blueprint.weightBytes !== undefined) return blueprint.weightBytes;
  return weigh(countByPart(blueprint), widthsOf(blueprint, type));
}

/** Bytes of a parameter, on average over the model. */
export function parameterBytes(blueprint: Blueprint, type: WeightType): number {
  return weightBytes(blueprint, type) / countParameters(blueprint).total;
}

/** Bytes of a number between two ops: 16 bits unless weights are of 32. */
export function activationBytes(type: WeightType): number {
  return type === "float32" ? 4 : 2;
}

/** The most tokens of each of `batch` sequences that fit into `room` bytes; Infinity where no length fills it. */
export function longestContext(
  blueprint: Blueprint,
  form: CachedForm,
  type: Dtype,
  { room, batch = 1 }: { readonly room: number; readonly batch?: number },
): number {
  const bytesOf = cacheByTokens(blueprint, form, type);
  return longestWithin((context) => batch * bytesOf(context), room);
}

/**
 * One layer's attention as this step meets it, for `predict` and `costFlops`: a window and a selection of keys bound what is read,
 * and over pooled entries a query sees one for so many tokens beside the recent ones.
 */
export function attentionAt(kind: LayerKind, kept: Kept, { t, s }: Span): Costing {
  const { attention, chosen } = kept;
  const { variant, sizes, window } = attention;
  const { keeping } = kind;
  const pooled = keeping && (keeping.every !== undefined || keeping.indexEvery !== undefined);
  if (!pooled && !chosen && (window ?? s) >= s) return attention;
  const { indexed, whole } = entriesRead(kind, kept, { t, s });
  const read = kept.index * indexed + (kept.values - kept.index) * whole;
  return {
    ...attention,
    variant: {
      ...variant,
      reads: () => read,
      ...(pooled && { forms: Object.fromEntries(Object.keys(variant.forms).map(poolForm)) }),
    },
  };

  function poolForm(name: string) {
    const { every = 1, indexEvery = every, recent = 0 } = keeping!;
    const form = variant.forms[name]!;
    const { selected, ...cost } = form.cost(sizes);
    const scored = selected === undefined ? every : indexEvery;
    const seen = entriesSeen(s, scored) - entriesSeen(s - t, scored);
    const near = (recent && pairsOf(t, s, recent)) * (selected ?? cost.pair);
    const flops = cost.pair * seen + (selected ?? 0) * t * Math.min(chosen ?? 0, Math.floor(s / every)) + near;
    return [name, { ...form, cost: () => ({ ...cost, pair: flops / pairsOf(t, s, window) }) }] as const;
  }
}

/** Entries of one layer's cache that a sequence's step reads, each once: an indexer's keys, and all the rest. */
function entriesRead({ attention: { window }, keeping }: LayerKind, { chosen }: Kept, { t, s }: Span) {
  const { every = 1, indexEvery = every, recent } = keeping ?? {};
  const indexed = Math.floor(s / indexEvery);
  const entries = Math.floor(s / every);
  const whole = recent === undefined ? 0 : Math.min(s, recent + t - 1);
  const most = Math.min(entries, chosen ? t * chosen : entries, window ? window + t - 1 : entries);
  return { indexed, whole: most + whole };
}

/** Pooled entries that queries at 1 .. n see together: the sum of floor(p / every). */
function entriesSeen(n: number, every: number): number {
  const whole = Math.floor(n / every);
  return (every * whole * (whole - 1)) / 2 + whole * (n - every * whole + 1);
}

/** FLOPs of the whole model for one step. Embedding look-up, norms and softmax are not counted, as is usual. */
export function stepFlops(blueprint: Blueprint, way: Way, span: Span): number {
  const { t, s, batch = 1, logits = t } = span;
  const pairs = (window?: number) => pairsOf(t, s, window);
  let flops = 2 * logits * blueprint.width * blueprint.vocabulary;
  for (const kind of blueprint.layers) {
    const kept = keptAs(kind, way.cached);
    const { variant, sizes, window } = attentionAt(kind, kept, span);
    const cost = variant.forms[formOf(kept, way)]!.cost(sizes);
    flops += kind.count * (costFlops(cost, sizes, { t, s, pairs: pairs(window) }) + kind.feed.flops * t);
  }
  return batch * flops;
}

/** The name of the form that a layer runs in. */
export function formOf({ forms }: Kept, { form }: Way): string {
  return (forms[form] ?? forms.expanded)!;
}

/** Parameters that one step reads, by part: of experts those that its tokens are expected to visit, of tables rows and the head. */
export function parametersRead(blueprint: Blueprint, { t, batch = 1, logits = t }: Span): ByPart {
  const { vocabulary, width, tied, layers, extra, tables = [] } = blueprint;
  const tokens = t * batch;
  const [rows, head] = [width * Math.min(tokens, vocabulary), logits ? width * vocabulary : 0];
  const sum = { attention: 0, feed: 0, expert: 0, table: 0, norm: extra };
  for (const { parameters, read } of tables) sum.table += Math.min(parameters, read * tokens);
  for (const { count, attention, feed, extra } of layers) {
    sum.attention += count * parameterCount(attention.variant, attention.sizes);
    sum.feed += count * feed.always;
    sum.expert += count * feed.expert * visited(feed, tokens);
    sum.norm += count * extra;
  }
  return { ...sum, embedding: rows + (tied ? head : 0), head: tied ? 0 : head };
}

/** Experts that so many tokens are expected to visit: of x experts, x (1 - (1 - k / x)^tokens) where each visits k of them. */
export function visited({ experts, chosen }: Feed, tokens: number): number {
  return experts ? experts * (1 - (1 - chosen / experts) ** tokens) : 0;
}

/** What one step moves, in bytes. */
export interface Moved {
  readonly weights: number;
  /** Caches and states, read and written. */
  readonly read: number;
  readonly written: number;
  /** Keys and values that are made of the whole cache for this step alone, written and read again. */
  readonly unfolded: number;
}

/** Bytes of weights that one step reads, in whatever way it runs. */
export function weightsRead(blueprint: Blueprint, span: Span, type: WeightType): number {
  return weigh(parametersRead(blueprint, span), widthsOf(blueprint, type));
}

/** Bytes that one step of the whole model moves; those of weights may be known. */
export function stepBytes(
  blueprint: Blueprint,
  way: Way,
  span: Span,
  { weightType, cacheType }: Types,
  weights = weightsRead(blueprint, span, weightType),
): Moved {
  const { t, s, batch = 1 } = span;
  let [read, written, unfolded] = [0, 0, 0];
  for (const kind of blueprint.layers) {
    const kept = keptAs(kind, way.cached);
    const { state, attention } = kept;
    const each = kind.count * batch;
    const { indexed, whole } = entriesRead(kind, kept, span);
    const of = entryBytes(kept, cacheType);
    read += each * (of.index * indexed + of.entry * whole + 4 * state);
    written += each * (t * (perToken(kind, of) + (kind.keeping?.recent ? of.entry : 0)) + 4 * state);
    const { variant, sizes } = attention;
    if (keptOf(kind).absorbed && variant.forms[formOf(kept, way)]!.cost(sizes).cached)
      unfolded += each * 2 * s * keptAs(kind, "expanded").values * activationBytes(weightType);
  }
  return { weights, read, written, unfolded };
}
