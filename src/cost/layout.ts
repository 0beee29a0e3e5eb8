import { cacheOf, paramsOf, type Sizes, shapeOf } from "../attention/define.ts";
import { ShapeError } from "../tensor/error.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Blueprint, LayerKind } from "./blueprint.ts";
import {
  activationBytes,
  cacheBytes,
  formsOf,
  layerBytes,
  longest,
  parameterBytes,
  type Types,
  weightBytes,
} from "./cost.ts";
import { type CachedForm, type Kept, keptAs } from "./keep.ts";

/** Ranks over which heads, sequences and positions are split; each the number of ways. */
export interface Split {
  readonly tensor: number;
  readonly data: number;
  readonly context: number;
}

/** What a layout is for. */
export interface Laid extends Types {
  readonly context: number;
  readonly batch: number;
  readonly step: number;
  readonly hosts: readonly { readonly name: string; readonly memory?: number | undefined }[];
}

/** What each of several devices holds of a model, and sends; bytes of caches are those of the smallest form. */
export interface Layout extends Split {
  /** As it was asked for: "tp8". */
  readonly layout: string;
  readonly ranks: number;
  readonly weightBytesPerRank: number;
  readonly cacheBytesPerRank: number;
  /** Bytes over all ranks that are there more than once, the first copy not counted. */
  readonly duplicatedWeightBytes: number;
  readonly duplicatedCacheBytes: number;
  /** Sent by a rank for one decoding step; it receives as many. */
  readonly communicationBytesPerStep: number;
  /** Of as many machines as there are ranks: whether one holds its share, and the most tokens per sequence that it would. */
  machines: { machine: string; fits: boolean; longestContext: number | null }[];
  notes: string[];
}

const axesOf = { tp: "tensor", dp: "data", cp: "context" } as const;
const MOST = 65_536;

/** Reads "tp8", "dp8", "cp4", "tp4,dp2". Throws ShapeError. */
export function parseSplit(text: string): Split {
  const split = { tensor: 1, data: 1, context: 1 };
  const given = new Set<string>();
  for (const part of text.toLowerCase().split(/[,+x]/)) {
    const [, axis, ways] = /^\s*(tp|dp|cp)(\d{1,5})\s*$/.exec(part) ?? [];
    if (!axis || !Number(ways) || given.has(axis))
      throw new ShapeError(
        `layout: got "${text}", expected tp, dp or cp with a number of ranks, each at most once, as tp8 or tp4,dp2`,
      );
    given.add(axis);
    split[axesOf[axis as keyof typeof axesOf]] = Number(ways);
  }
  if (split.tensor * split.data * split.context > MOST)
    throw new ShapeError(`layout: got "${text}", expected at most ${MOST} ranks; name fewer`);
  return split;
}

/**
 * Into how many parts tensor ranks cut something with these axes: heads (h) one by one, groups (g, b) as far as there are any, and
 * what all heads share not at all.
 */
function cuts(axes: string, z: Sizes, tensor: number): number {
  const letters = axes.split(" ");
  if (letters.includes("h")) return tensor;
  const groups = letters.includes("g") ? z.g : letters.includes("b") ? (z.b ?? 1) : 1;
  return Math.min(groups, tensor);
}

/** Throws ShapeError where tensor ranks do not divide a layer's heads, or neither they its groups nor these them. */
function checkHeads({ attention: { variant, sizes } }: LayerKind, tensor: number): void {
  if (sizes.h % tensor)
    throw new ShapeError(
      `${variant.name}: got ${tensor} tensor ranks, expected a divisor of its ${sizes.h} heads; split fewer ways`,
    );
  const grouped = [...paramsOf(variant, sizes), ...cacheOf(variant, sizes)].map(([, axes]) => axes.split(" "));
  for (const [letter, count] of [["g", sizes.g] as const, ["b", sizes.b ?? 0] as const])
    if (count && grouped.some((axes) => axes.includes(letter)) && count % tensor && tensor % count)
      throw new ShapeError(
        `${variant.name}: got ${tensor} tensor ranks, expected a divisor or a multiple of its ${count} groups`,
      );
}

/** Parameters that one rank holds: those with heads or groups are cut, MLPs and tables too, and experts over all ranks. */
function parametersPerRank({ vocabulary, width, tied, layers, extra }: Blueprint, { tensor, data, context }: Split) {
  let own = extra + (vocabulary * width * (tied ? 1 : 2)) / tensor;
  for (const kind of layers) {
    const { variant, sizes } = kind.attention;
    const attention = paramsOf(variant, sizes).reduce(
      (sum, [, axes]) => sum + sizeOf(shapeOf(axes, sizes)) / cuts(axes, sizes, tensor),
      0,
    );
    const { always, expert, experts } = kind.feed;
    // The router is whole on every rank, which routes its own tokens.
    const router = Math.min(always, width * experts);
    const feed = router + (always - router) / tensor + (expert * experts) / (tensor * data * context);
    own += kind.count * (attention + feed + kind.extra);
  }
  return own;
}

/** Into how many parts the tensor ranks cut what a layer keeps, on average over its numbers: 1 for a latent. */
function cacheShare({ attention: { variant, sizes } }: Kept, tensor: number): number {
  const parts = cacheOf(variant, sizes).map(
    ([, axes]) => [sizeOf(shapeOf(axes, sizes)), cuts(axes, sizes, tensor)] as const,
  );
  const all = parts.reduce((sum, [values]) => sum + values, 0);
  return all ? parts.reduce((sum, [values, cut]) => sum + values / cut, 0) / all : 1;
}

function stateShare({ attention: { variant, sizes } }: Kept, tensor: number): number {
  const parts = Object.values(variant.state?.(sizes) ?? {});
  const all = parts.reduce((sum, axes) => sum + sizeOf(shapeOf(axes, sizes)), 0);
  return all ? parts.reduce((sum, axes) => sum + sizeOf(shapeOf(axes, sizes)) / cuts(axes, sizes, tensor), 0) / all : 1;
}

/** Bytes of one sequence's cache that one rank holds by context: positions are split over context ranks, states are not. */
function cachePerRank({ layers }: Blueprint, form: CachedForm, split: Split, { cacheType }: Laid) {
  const kinds = layers.map((kind) => {
    const kept = keptAs(kind, form);
    const state = 4 * kept.state;
    const rows = cacheShare(kept, split.tensor) / split.context;
    return { kind, state, rows, own: state * stateShare(kept, split.tensor) };
  });
  return (context: number) =>
    kinds.reduce((sum, { kind, state, rows, own }) => {
      const all = layerBytes(kind, form, cacheType, context) - state;
      return sum + kind.count * (all * rows + own);
    }, 0);
}

/**
 * Bytes that a rank sends in one decoding step. In a ring of T ranks an all-reduce of n bytes sends 2 n (T - 1) / T, an all-gather
 * half of that. Tensor ranks add up each layer's attention and its feed-forward half, and the embedding, and gather the logits;
 * context ranks merge each head's output and its log-sum-exp in float32; experts on other ranks get a token and send one back.
 */
function communication(blueprint: Blueprint, form: CachedForm, split: Split, of: Laid): number {
  const { tensor, data, context } = split;
  const { width, vocabulary } = blueprint;
  const [around, across] = [(tensor - 1) / tensor, (context - 1) / context];
  const [ranks, bytes] = [tensor * data * context, activationBytes(of.weightType)];
  const tokens = Math.ceil(of.batch / data) * of.step;
  let sent = tokens * bytes * around * (2 * width + vocabulary);
  for (const { count, attention, feed } of blueprint.layers) {
    const { sizes, variant } = attention;
    sent += count * 2 * tokens * bytes * 2 * width * around;
    const output = form === "absorbed" && variant.unfolded ? sizes.c || sizes.v : sizes.v;
    if (cacheOf(variant, sizes).length) sent += count * 2 * across * tokens * (sizes.h / tensor) * (output + 1) * 4;
    if (feed.experts && ranks > tensor)
      sent += (count * 2 * tokens * feed.chosen * width * bytes * (1 - 1 / ranks)) / tensor;
  }
  return sent;
}

/** What each of several devices holds of a model, and sends. Throws ShapeError where the ranks do not divide it. */
export function layOut(blueprint: Blueprint, text: string, of: Laid): Layout {
  const split = parseSplit(text);
  const { tensor, data, context } = split;
  for (const kind of blueprint.layers) checkHeads(kind, tensor);
  const ranks = tensor * data * context;
  const form = formsOf(blueprint).at(-1)!;
  const sequences = Math.ceil(of.batch / data);
  const weights = parametersPerRank(blueprint, split) * parameterBytes(blueprint, of.weightType);
  const perRank = cachePerRank(blueprint, form, split, of);
  const cache = sequences * perRank(of.context);
  const oneCopy = cacheBytes(blueprint, form, of.cacheType, of.context);
  const copies = tensor * context * perRank(of.context);
  return {
    layout: text,
    ranks,
    ...split,
    weightBytesPerRank: weights,
    cacheBytesPerRank: cache,
    duplicatedWeightBytes: differenceOf(ranks * weights - weightBytes(blueprint, of.weightType)),
    duplicatedCacheBytes: differenceOf(of.batch * (copies - oneCopy)),
    communicationBytesPerStep: communication(blueprint, form, split, of),
    machines: of.hosts.flatMap(({ name, memory }) => {
      if (memory === undefined) return [];
      const room = memory - weights;
      const tokens = longest((context) => sequences * perRank(context) <= room);
      return [{ machine: name, fits: cache <= room, longestContext: Number.isFinite(tokens) ? tokens : null }];
    }),
    notes: notesOf(blueprint, form, split, of),
  };
}

/** Bytes by which one sum exceeds another, rounded: the difference of sums that should be equal is not quite 0. */
const differenceOf = (bytes: number) => Math.max(0, Math.round(bytes));

/** A sentence for what is duplicated, split, or idle. */
function notesOf(blueprint: Blueprint, form: CachedForm, { tensor, data, context }: Split, of: Laid): string[] {
  const { layers } = blueprint;
  const notes: string[] = [];
  const each = of.batch * cacheBytes(blueprint, form, of.cacheType, of.context);
  if (tensor > 1) {
    const shared = layers.filter((kind) => cacheShare(keptAs(kind, form), tensor) === 1 && keptAs(kind, form).values);
    if (form === "absorbed" && shared.length) {
      const wide = of.batch * cacheBytes(blueprint, "expanded", of.cacheType, of.context);
      notes.push(
        `the latent is duplicated on each of ${tensor} tensor ranks: ${tensor - 1} x ${gibibytes(each)}; ` +
          `keys and values per head would be split, ${gibibytes(wide / tensor)} on each`,
      );
    }
    const groups = new Set(layers.flatMap(({ attention: { sizes } }) => (sizes.g && sizes.g < tensor ? sizes.g : [])));
    for (const g of groups)
      notes.push(
        `${g} ${g === 1 ? "group" : "groups"} of keys and values on ${tensor} tensor ranks: each is there ${tensor / g} times`,
      );
  }
  if (data > 1) {
    notes.push(`sequences are split over ${data} ranks; attention, MLPs and tables are on each of them`);
    const [idle, uneven] = [data - of.batch, of.batch % data];
    if (idle > 0) notes.push(`${idle} of ${data} data ranks have no sequence; give a batch of at least ${data}`);
    else if (uneven) notes.push(`${uneven} of ${data} data ranks have one sequence more than the others`);
  }
  if (context > 1)
    notes.push(`positions are split over ${context} ranks, whose partial outputs merge; their weights are the same`);
  if (layers.some(({ feed }) => feed.experts)) {
    const experts = Math.max(...layers.map(({ feed }) => feed.experts));
    notes.push(`${experts} experts are split over all ${tensor * data * context} ranks`);
  }
  return notes;
}

/** As "10.72 GiB". */
function gibibytes(bytes: number): string {
  const [unit, scale] = bytes >= 2 ** 30 ? (["GiB", 2 ** 30] as const) : (["MiB", 2 ** 20] as const);
  return `${(bytes / scale).toFixed(2)} ${unit}`;
}
