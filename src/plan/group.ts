/** What a group of devices can do with a model: every sensible layout, and which is best at what, and why. */
import { type Blueprint, draftOf } from "../cost/blueprint.ts";
import { formsOf } from "../cost/cost.ts";
import { deviceMemory, type Group } from "../cost/group.ts";
import { longestWithin } from "../cost/longest.ts";
import { offloadName, offloadOn } from "../cost/offload.ts";
import { isShared, rankCache, rankWeights } from "../cost/rank.ts";
import { decodeOn, prefillOn, type Served } from "../cost/serve.ts";
import { type Split, splitName } from "../cost/split.ts";
import { time } from "../draw/quantity.ts";
import { sensibleSplits } from "./choose.ts";
import type { PlanSettings } from "./plan.ts";
import type { Plan } from "./schema.ts";

type GroupRow = Plan["groups"][number];
type LayoutRow = GroupRow["layouts"][number];

/** Sequences beyond which none are counted. */
const MOST_SEQUENCES = 2 ** 20;

/** What a group can do with a model in every sensible layout; those that do not fit have no times. */
export function groupRow(blueprint: Blueprint, group: Group, settings: PlanSettings): GroupRow {
  const { name, device, count, node, link, network } = group;
  const layouts = sensibleSplits(blueprint, group).map((split) => layoutRow(blueprint, group, split, settings));
  const joined = ({ kind, bytes, latency }: NonNullable<Group["link"]>) => ({ kind, bytesPerSecond: bytes, latency });
  return {
    group: name,
    device: device.name,
    count,
    nodes: count / node,
    memory: deviceMemory(group),
    ...(count > 1 && link && { link: joined(link) }),
    ...(count > node && network && { network: joined(network) }),
    layouts,
    best: bestOf(blueprint, layouts),
  };
}

function layoutRow(blueprint: Blueprint, group: Group, split: Split, settings: PlanSettings): LayoutRow {
  const { context, batch, step, accepted = step } = settings;
  const draft = step > 1 ? draftOf(blueprint) : undefined;
  const parts = draft ? [blueprint, draft] : [blueprint];
  const weights = parts.reduce((sum, part) => sum + rankWeights(part, split, settings), 0);
  const caches = parts.map((part) => rankCache(part, split, formsOf(part).at(-1)!, settings));
  const cacheAt = (tokens: number) => caches.reduce((sum, cache) => sum + cache(tokens), 0);
  const room = deviceMemory(group) - weights;
  const [own, sequences] = [cacheAt(context), Math.ceil(batch / split.data)];
  const longest = room > 0 ? longestWithin((tokens) => sequences * cacheAt(tokens), room) : 0;
  const most = room <= 0 ? 0 : Math.min(MOST_SEQUENCES, Math.floor(room / own) * split.data);
  const row = {
    layout: splitName(split),
    ...split,
    weightBytesPerRank: weights,
    cacheBytesPerRank: sequences * own,
    fits: room > 0 && sequences * own <= room,
    longestContext: Number.isFinite(longest) ? longest : null,
    mostSequences: most,
  };
  if (!row.fits) return row;
  const at = (load: number): Served => {
    const main = decodeOn(blueprint, group, split, { ...settings, batch: load });
    if (!draft) return main;
    // Draft layers propose one token after the other.
    const one = decodeOn(draft, group, split, { ...settings, batch: load, step: 1 });
    const times = step - 1;
    return { ...main, seconds: main.seconds + times * one.seconds, sending: main.sending + times * one.sending };
  };
  const timed = ({ seconds, sending, bound }: Served, tokens: number) => ({
    seconds,
    sending,
    bound,
    tokensPerSecond: tokens / seconds,
  });
  return {
    ...row,
    prefill: timed(prefillOn(blueprint, group, split, settings), batch * context),
    decode: timed(at(batch), batch * accepted),
    full: timed(at(most), most * accepted),
  };
}

/** The layouts that answer first, write most and read most, each with its reason. */
function bestOf(blueprint: Blueprint, layouts: readonly LayoutRow[]): GroupRow["best"] {
  const fitting = layouts.filter(({ fits }) => fits);
  const pick = (measure: (row: LayoutRow) => number) => fitting.toSorted((a, b) => measure(b) - measure(a));
  const ranked = [
    ["latency", pick(({ decode }) => -decode!.seconds), latencyReason],
    ["throughput", pick(({ full }) => full!.tokensPerSecond), throughputReason],
    ["prefill", pick(({ prefill }) => prefill!.tokensPerSecond), prefillReason],
  ] as const;
  return ranked.flatMap(([by, [first, second], reason]) =>
    first ? [{ by, layout: first.layout, why: reason(blueprint, first, second) }] : [],
  );
}

/** What a layout's ranks leave to each other. */
function sharing(blueprint: Blueprint, { tensor, data, context, pipeline }: LayoutRow): string {
  const latents = tensor > 1 && blueprint.layers.some((kind) => isShared(kind, formsOf(blueprint).at(-1)!, tensor));
  const parts = [
    tensor > 1 && `each rank reads ${tensor === 2 ? "half" : `1/${tensor}`} of attention and MLPs`,
    latents && "keeps all latents",
    data > 1 && `sequences are split ${data} ways`,
    context > 1 && `positions are split ${context} ways`,
    pipeline > 1 && `each stage has 1/${pipeline} of the layers`,
  ];
  return parts.filter(Boolean).join(", ") || "one device does it all";
}

const bounds = { compute: "arithmetic", memory: "reading memory", network: "sending", overhead: "starting kernels" };

function latencyReason(blueprint: Blueprint, best: LayoutRow, next?: LayoutRow): string {
  const { seconds, bound, sending } = best.decode!;
  const sent = sending > 0 ? `, ${time(sending)} of it sending` : "";
  const other = next ? `; ${next.layout} takes ${time(next.decode!.seconds)}` : "";
  return `a step takes ${time(seconds)}${sent}, mostly ${bounds[bound]}: ${sharing(blueprint, best)}${other}`;
}

function throughputReason(blueprint: Blueprint, best: LayoutRow, next?: LayoutRow): string {
  const { seconds, bound } = best.full!;
  const other = next ? `; ${next.layout} has room for ${next.mostSequences}, ${time(next.full!.seconds)} a step` : "";
  return `${best.mostSequences} sequences fit and a step of all takes ${time(seconds)}, mostly ${bounds[bound]}: ${sharing(blueprint, best)}${other}`;
}

function prefillReason(blueprint: Blueprint, best: LayoutRow, next?: LayoutRow): string {
  const { seconds, bound, sending } = best.prefill!;
  const sent = sending > 0 ? `, ${time(sending)} of it sending` : "";
  const other = next ? `; ${next.layout} takes ${time(next.prefill!.seconds)}` : "";
  return `reading takes ${time(seconds)}${sent}, mostly ${bounds[bound]}: ${sharing(blueprint, best)}${other}`;
}

/** A group's devices with what is offloaded to the processor beside them; none where nothing is asked for or there is no processor. */
export function offloadRow(blueprint: Blueprint, group: Group, settings: PlanSettings): Plan["offloads"] {
  const { offload, context, batch, step, accepted = step } = settings;
  const { beside } = group;
  if (!offload || !beside) return [];
  const { prefill, decode, longestContext, ...bytes } = offloadOn(blueprint, group, offload, settings);
  return [
    {
      group: group.name,
      offload: offloadName(offload),
      ...bytes,
      deviceMemory: group.count * deviceMemory(group),
      hostMemory: beside.sockets * beside.processor.memory,
      longestContext: Number.isFinite(longestContext) ? longestContext : null,
      prefill: { ...prefill, tokensPerSecond: (batch * context) / prefill.seconds },
      decode: { ...decode, tokensPerSecond: (batch * accepted) / decode.seconds },
    },
  ];
}
