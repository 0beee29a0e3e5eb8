import { cacheOf } from "../attention/define.ts";
import type { Blueprint } from "./blueprint.ts";
import { activationBytes, cacheBytes, formsOf, type Types, weightBytes } from "./cost.ts";
import type { CachedForm } from "./keep.ts";
import { longestOf } from "./longest.ts";
import { isShared, rankCache, rankWeights } from "./rank.ts";
import { parseSplit, ranksOf, type Split } from "./split.ts";

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

/**
 * Bytes that a rank sends in one decoding step. In a ring of T ranks an all-reduce of n bytes sends 2 n (T - 1) / T, an all-gather
 * half of that. Tensor ranks add up each layer's attention and its feed-forward half, and the embedding, and gather the logits;
 * context ranks merge each head's output and its log-sum-exp in float32; experts on other ranks get a token and send one back.
 */
function communication(blueprint: Blueprint, form: CachedForm, split: Split, of: Laid): number {
  const { tensor, data, context } = split;
  const { width, vocabulary } = blueprint;
  const [around, across] = [(tensor - 1) / tensor, (context - 1) / context];
  const [ranks, bytes] = [split.expert, activationBytes(of.weightType)];
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
  const ranks = ranksOf(split);
  const form = formsOf(blueprint).at(-1)!;
  const sequences = Math.ceil(of.batch / data);
  const weights = rankWeights(blueprint, split, of);
  const perRank = rankCache(blueprint, split, form, of);
  const cache = sequences * perRank(of.context);
  // Stages hold different layers: what is there more than once is so within a stage.
  const whole = { ...split, pipeline: 1 };
  const copied = ranksOf(whole) * rankWeights(blueprint, whole, of);
  const oneCopy = cacheBytes(blueprint, form, of.cacheType, of.context);
  const copies = tensor * context * rankCache(blueprint, whole, form, of)(of.context);
  const longest = longestOf((tokens) => sequences * perRank(tokens));
  return {
    layout: text,
    ranks,
    ...split,
    weightBytesPerRank: weights,
    cacheBytesPerRank: cache,
    duplicatedWeightBytes: differenceOf(copied - weightBytes(blueprint, of.weightType)),
    duplicatedCacheBytes: differenceOf(of.batch * (copies - oneCopy)),
    communicationBytesPerStep: communication(blueprint, form, split, of),
    machines: of.hosts.flatMap(({ name, memory }) => {
      if (memory === undefined) return [];
      const room = memory - weights;
      const tokens = longest(room);
      return [{ machine: name, fits: cache <= room, longestContext: Number.isFinite(tokens) ? tokens : null }];
    }),
    notes: notesOf(blueprint, form, split, of),
  };
}

/** Bytes by which one sum exceeds another, rounded: the difference of sums that should be equal is not quite 0. */
const differenceOf = (bytes: number) => Math.max(0, Math.round(bytes));

/** A sentence for what is duplicated, split, or idle. */
function notesOf(blueprint: Blueprint, form: CachedForm, split: Split, of: Laid): string[] {
  const { tensor, data, context, pipeline, expert } = split;
  const { layers } = blueprint;
  const notes: string[] = [];
  const each = of.batch * cacheBytes(blueprint, form, of.cacheType, of.context);
  if (tensor > 1) {
    if (form === "absorbed" && layers.some((kind) => isShared(kind, form, tensor))) {
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
  if (pipeline > 1)
    notes.push(`layers are split over ${pipeline} stages, each of which waits where fewer sequences are on their way`);
  if (layers.some(({ feed }) => feed.experts)) {
    const experts = Math.max(...layers.map(({ feed }) => feed.experts));
    const [stage, of] = [tensor * data * context, pipeline > 1 ? " of a stage" : ""];
    notes.push(
      expert === stage
        ? `${experts} experts are split over all ${stage} ranks${of}`
        : `${experts} experts are split over ${expert} of ${stage} ranks${of}, ${stage / expert} copies`,
    );
  }
  return notes;
}

/** As "10.72 GiB". */
function gibibytes(bytes: number): string {
  const [unit, scale] = bytes >= 2 ** 30 ? (["GiB", 2 ** 30] as const) : (["MiB", 2 ** 20] as const);
  return `${(bytes / scale).toFixed(2)} ${unit}`;
}
