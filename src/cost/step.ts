/** What one step of a whole model has to do, and the seconds that it takes on a machine. */
import type { Blueprint, Feed } from "./blueprint.ts";
import { attentionAt, formOf, type Span, type Types, visited, type Way } from "./cost.ts";
import { fillSteps, type Machine, type Rate } from "./crossover.ts";
import { keptAs } from "./keep.ts";
import { type ByPart, type Part, widthsOf } from "./part.ts";
import { dtypes } from "./type.ts";
import { type AttentionWork, attentionWork, type Work } from "./work.ts";

/** Ops of a layer beside its attention: two norms, two additions, and those of a gated MLP. */
const FEED_OPS = 8;

/** Contraction of so many rows. */
interface Contraction extends Work {
  readonly part: Part;
  readonly rows: number;
}

/** The work of layers that are alike, one of them. */
interface LayerWork {
  readonly count: number;
  readonly attention?: AttentionWork;
  /** What every token uses, and the experts. */
  readonly feed: readonly Contraction[];
}

/** A machine whose contractions are faster in some parts of a model than in others, by the types of their operands. */
export interface MixedMachine extends Machine {
  readonly contracts?: Readonly<Record<Part, Machine["contract"]>> | undefined;
}

/** The work of one step. */
export interface StepWork {
  readonly head: Contraction;
  readonly layers: readonly LayerWork[];
}

/** How experts are spread: over so many devices, each of which is sent the tokens of so many that have their own sequences. */
export interface Spread {
  readonly devices: number;
  readonly peers: number;
}

/** What one step has to do; numbers between two ops have `activationBytes`. */
export function stepWork(
  blueprint: Blueprint,
  way: Way,
  span: Span,
  types: Types,
  activationBytes: number,
  spread: Spread = { devices: 1, peers: 1 },
): StepWork {
  const { t, batch = 1, logits = t } = span;
  const widths = widthsOf(blueprint, types.weightType);
  const step = { ...span, cacheBytes: dtypes[types.cacheType], weightBytes: widths.attention, activationBytes };
  const head = logits && blueprint.width * blueprint.vocabulary;
  const tokens = batch * t;
  const table = blueprint.tied ? "embedding" : "head";
  return {
    head: {
      part: table,
      rows: batch * logits,
      bytes: head * widths[table],
      flops: 2 * batch * logits * head,
    },
    layers: blueprint.layers.map((kind) => {
      const kept = keptAs(kind, way.cached);
      return {
        count: kind.count,
        attention: attentionWork(attentionAt(kind, kept, span), formOf(kept, way), step),
        feed: feedWork(kind.feed, kind.extra, { tokens, widths, spread }),
      };
    }),
  };
}

function feedWork(
  feed: Feed,
  extra: number,
  { tokens, widths, spread }: { tokens: number; widths: ByPart; spread: Spread },
): Contraction[] {
  const { always, expert, experts, chosen, flops } = feed;
  const routed = 2 * chosen * expert;
  const rest: Contraction = {
    part: "feed",
    rows: tokens,
    bytes: always * widths.feed + extra * widths.norm,
    flops: tokens * (flops - routed),
  };
  if (!experts) return [rest];
  const { devices, peers } = spread;
  const arriving = tokens * peers;
  return [
    rest,
    {
      part: "expert",
      rows: (arriving * chosen) / experts,
      bytes: (visited(feed, arriving) * expert * widths.expert) / devices,
      flops: (arriving * routed) / devices,
    },
  ];
}

/** The work of experts, and all else: they may be done by different machines. */
export function partExperts({ head, layers }: StepWork): { readonly experts: StepWork; readonly rest: StepWork } {
  const none: Contraction = { part: "head", rows: 0, bytes: 0, flops: 0 };
  return {
    experts: { head: none, layers: layers.map(({ count, feed }) => ({ count, feed: feed.slice(1) })) },
    rest: { head, layers: layers.map(({ feed, ...layer }) => ({ ...layer, feed: feed.slice(0, 1) })) },
  };
}

/** Seconds of a step, and what they would be if only arithmetic, reading, or starting ops took time. */
export interface Price {
  readonly seconds: number;
  readonly compute: number;
  readonly memory: number;
  readonly overhead: number;
}

/** What a step takes on a machine, `times` times over added to what is there before. */
export function priceStep(
  { head, layers }: StepWork,
  machine: MixedMachine,
  { times = 1, before = { seconds: 0, compute: 0, memory: 0, overhead: 0 } }: { times?: number; before?: Price } = {},
): Price {
  const { attend, few, panel, tile, overlaps, op, widen = Number.POSITIVE_INFINITY } = machine;
  const contractOf = (part: Part) => machine.contracts?.[part] ?? machine.contract;
  let { seconds, compute, memory, overhead } = before;
  const add = (count: number, rate: Rate, { bytes, flops, rows = 0 }: Work, filled = 1, narrow = 0) => {
    const reading = bytes / rate.bytes + (rate.rows ? rows / rate.rows : 0);
    const [computing, widening] = [(flops * filled) / rate.flops, narrow / widen];
    compute += count * computing;
    memory += count * (reading + widening);
    seconds += count * (widening + (overlaps ? Math.max(reading, computing) : reading + computing));
  };
  const addContraction = (count: number, part: Part, rows: number, work: Work) => {
    const { few: narrow, many } = contractOf(part);
    if (rows) add(count, rows <= few ? narrow : many, work, fillSteps(rows, few, tile) / rows);
  };
  addContraction(times, head.part, head.rows, { bytes: head.bytes, flops: head.flops });
  overhead += head.rows ? times * 2 * op : 0;
  for (const { count, attention, feed } of layers) {
    const many = times * count;
    if (attention) {
      addContraction(many, "attention", attention.tokens, attention.project);
      if (attention.unfold) add(many, contractOf("attention").many, attention.unfold);
      const { rows, heads, narrow } = attention;
      const rate = rows <= few ? attend.few : heads > 1 ? attend.many : attend.shared;
      add(many, rate, attention.attend, fillSteps(rows, few, panel) / rows, narrow);
      overhead += many * op * (attention.ops + FEED_OPS);
    }
    for (const { part, rows, bytes, flops } of feed) addContraction(many, part, rows, { bytes, flops });
  }
  return { seconds: seconds + overhead - before.overhead, compute, memory, overhead };
}
