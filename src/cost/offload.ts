/**
 * Models that are larger than a graphics card, as people run them at home: experts, or the last layers, lie in the host's memory and
 * run on its processor, at that memory's rate. What one computes the other waits for.
 */
import { ShapeError } from "../tensor/error.ts";
import { achievableRates, linkSeconds } from "./achieve.ts";
import { betweenBytes } from "./between.ts";
import type { Blueprint, LayerKind } from "./blueprint.ts";
import { activationBytes, cacheBytes, formsOf, type Span, type Types, waysOf } from "./cost.ts";
import type { Machine, Rate } from "./crossover.ts";
import type { Datasheet } from "./datasheet.ts";
import { deviceMemory, type Group } from "./group.ts";
import { hostOf } from "./host.ts";
import type { Link } from "./link.ts";
import { longestWithin } from "./longest.ts";
import { countByPart, eachPart, shippedWidths, weigh, widthsOf } from "./part.ts";
import { type MixedMachine, partExperts, priceStep, type StepWork, stepWork } from "./step.ts";
import { machineOf } from "./time.ts";

/** What lies in the host's memory: routed experts, or so many of the last layers. */
export type Offload = "experts" | { readonly layers: number };

/** Reads "experts" or "layers:12". Throws ShapeError. */
export function parseOffload(text: string): Offload {
  const [, layers] = /^\s*layers:(\d{1,6})\s*$/.exec(text) ?? [];
  if (text.trim() === "experts") return "experts";
  if (!Number(layers))
    throw new ShapeError(`offload: got "${text}", expected experts, or layers with a number of them as layers:12`);
  return { layers: Number(layers) };
}

/** As it is typed. */
export const offloadName = (offload: Offload) => (offload === "experts" ? "experts" : `layers:${offload.layers}`);

/** Seconds of a step, what of them the host computes and what crosses to it and back. */
export interface Shared {
  readonly seconds: number;
  readonly host: number;
  readonly crossing: number;
}

/** What lies where, and how long steps take. */
export interface Offloaded {
  /** Bytes of weights and caches on the devices, all of them together, and in the host's memory. */
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly fits: boolean;
  /** The most tokens of each sequence that fit; 0 where the weights alone do not. */
  readonly longestContext: number;
  readonly prefill: Shared;
  readonly decode: Shared;
}

/** A model's layers by where they lie, as models of their own. */
interface Parts {
  readonly near: Blueprint;
  readonly far: Blueprint | undefined;
}

/**
 * A model on one device or several, which hold layers one after the other, with the rest on the host. Throws ShapeError where there is no
 * processor beside the devices, or nothing of the kind in the model.
 */
export function offloadOn(
  blueprint: Blueprint,
  group: Group,
  offload: Offload,
  load: Types & { readonly context: number; readonly batch: number; readonly step: number },
): Offloaded {
  const { beside, device, count } = group;
  if (!beside || !device.host)
    throw new ShapeError(
      `offload: got ${group.name}, which has no host's memory, expected a card beside a processor, as rtx-4090+ryzen-9950x`,
    );
  const { near, far } = partsOf(blueprint, offload);
  const { weightType, cacheType } = load;
  const widths = widthsOf(blueprint, weightType);
  const own = countByPart(near);
  const experts = offload === "experts" ? own.expert * widths.expert : 0;
  if (offload === "experts" && !experts)
    throw new ShapeError(`offload: got experts, which ${blueprint.name} has none of; offload layers:N`);
  const apart = experts + own.table * widths.table;
  const there = apart + (far ? weigh(countByPart(far), widths) : 0);
  const form = formsOf(blueprint).at(-1)!;
  const cache = (part: Blueprint | undefined, tokens: number) =>
    part ? load.batch * cacheBytes(part, form, cacheType, tokens) : 0;
  const [room, space] = [count * deviceMemory(group), beside.sockets * beside.processor.memory];
  const nearBytes = (tokens: number) => weigh(own, widths) - apart + cache(near, tokens);
  const farBytes = (tokens: number) => there + cache(far, tokens);
  const longest = Math.min(longestWithin(nearBytes, room), longestWithin(farBytes, space));
  const [deviceBytes, hostBytes] = [nearBytes(load.context), farBytes(load.context)];
  const machine = (of: Datasheet) => machineOf(achievableRates(hostOf(of)), blueprint, weightType, cacheType);
  const [gpu, cpu] = [machine(device), sockets(machine(beside.processor), beside.sockets)];
  const take = (span: Span) => stepOn({ near, far, experts: experts > 0, span, load, gpu, cpu, link: device.host! });
  return {
    deviceBytes,
    hostBytes,
    fits: deviceBytes <= room && hostBytes <= space,
    longestContext: longest,
    prefill: take({ t: load.context, s: load.context, batch: load.batch, logits: 1 }),
    decode: take({ t: load.step, s: load.context + load.step, batch: load.batch }),
  };
}

/** Processors that each read their own memory. */
function sockets(machine: MixedMachine, many: number): MixedMachine {
  const { contract, contracts, attend } = machine;
  const times = (rate: Rate) => ({ bytes: rate.bytes * many, flops: rate.flops * many });
  const both = ({ few, many }: Machine["contract"]) => ({ few: times(few), many: times(many) });
  return {
    ...machine,
    // A processor starts no kernels over a bus.
    op: 0,
    contract: both(contract),
    contracts: contracts && eachPart((part) => both(contracts[part])),
    attend: { few: times(attend.few), many: times(attend.many), shared: times(attend.shared) },
  };
}

/** The last layers apart from the others. Throws ShapeError where there are not so many. */
function partsOf(blueprint: Blueprint, offload: Offload): Parts {
  if (offload === "experts") return { near: blueprint, far: undefined };
  const all = blueprint.layers.reduce((sum, { count }) => sum + count, 0);
  if (offload.layers > all)
    throw new ShapeError(`offload: got ${offload.layers} layers, expected at most the ${all} of ${blueprint.name}`);
  // Kinds of layers alternate in a model: each gives up its share of the last ones.
  const share = offload.layers / all;
  const split = (of: (count: number) => number): LayerKind[] =>
    blueprint.layers.map((kind) => ({ ...kind, count: of(kind.count) })).filter(({ count }) => count > 0);
  const bare = { ...blueprint, vocabulary: 0, extra: 0, tables: undefined };
  const shipped = { weightBytes: undefined, widths: shippedWidths(blueprint) };
  return {
    near: { ...blueprint, ...shipped, layers: split((count) => count * (1 - share)) },
    far: { ...bare, ...shipped, layers: split((count) => count * share) },
  };
}

interface Sharing extends Parts {
  readonly experts: boolean;
  readonly span: Span;
  readonly load: Types;
  readonly gpu: MixedMachine;
  readonly cpu: MixedMachine;
  readonly link: Link;
}

/** Seconds of a step over both. */
function stepOn({ near, far, experts, span, load, gpu, cpu, link }: Sharing): Shared {
  const [tokens, bytes] = [span.t * (span.batch ?? 1), activationBytes(load.weightType)];
  const rows = tokens * near.width * bytes;
  const between = betweenBytes(near, tokens, bytes) / gpu.contract.many.bytes;
  /** Hidden states go over and come back. */
  const hops = (times: number) => times * 2 * (linkSeconds(link, rows) + link.latency);
  const works = worksOf(near, span, load);
  if (!experts) {
    const host = far ? least(worksOf(far, span, load), cpu) : 0;
    const crossing = far ? hops(1) : 0;
    return { seconds: least(works, gpu) + between + host + crossing, host, crossing };
  }
  const parts = works.map(partExperts);
  const rest = parts.map(({ rest }) => rest);
  const own = least(rest, gpu) + between;
  const routed = parts[0]!.experts;
  const layers = near.layers.reduce((sum, { count, feed }) => sum + (feed.experts ? count : 0), 0);
  const host = priceStep(routed, cpu).seconds;
  // Many tokens are worth bringing the experts that they visit to the device, which computes while the next ones come.
  const brought = routed.layers.reduce((sum, { count, feed }) => sum + count * (feed[0]?.bytes ?? 0), 0);
  const crossing = Math.max(linkSeconds(link, brought), priceStep(routed, gpu).seconds);
  return host + hops(layers) <= crossing
    ? { seconds: own + host + hops(layers), host, crossing: hops(layers) }
    : { seconds: own + crossing, host: 0, crossing };
}

/** The work in each form over the smallest cache. */
function worksOf(part: Blueprint, span: Span, load: Types): StepWork[] {
  const ways = waysOf(part);
  return ways
    .filter(({ cached }) => cached === ways.at(-1)!.cached)
    .map((way) => stepWork(part, way, span, load, activationBytes(load.weightType)));
}

const least = (works: StepWork[], machine: MixedMachine) =>
  Math.min(...works.map((work) => priceStep(work, machine).seconds));
