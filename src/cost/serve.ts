/** How fast a group of devices serves a model in one layout: what each rank computes, and what all send each other. */
import { cacheOf } from "../attention/define.ts";
import { achievableRates } from "./achieve.ts";
import { betweenBytes } from "./between.ts";
import type { Blueprint } from "./blueprint.ts";
import { activationBytes, bytesPerToken, formsOf, type Span, type Types, waysOf } from "./cost.ts";
import type { Datasheet } from "./datasheet.ts";
import type { Group } from "./group.ts";
import { hostOf } from "./host.ts";
import type { CachedForm } from "./keep.ts";
import { allReduceSeconds, allToAllSeconds, dispatchSeconds, ringOf, sendSeconds } from "./network.ts";
import { parts, productOf } from "./part.ts";
import { rankOf, stageShare } from "./rank.ts";
import type { Split } from "./split.ts";
import { type MixedMachine, type Price, priceStep, type Spread, type StepWork, stepWork } from "./step.ts";
import { machineOf } from "./time.ts";
import { dtypes } from "./type.ts";

/** What most of a step's time goes into. */
export type Bound = "compute" | "memory" | "overhead" | "network";

/** Seconds of a step, those of them in which nothing but sending goes on, and what most go into. */
export interface Served {
  readonly seconds: number;
  readonly sending: number;
  readonly bound: Bound;
}

/** What is served: tokens per sequence, sequences, and new tokens of each in a decoding step. */
export interface Load extends Types {
  readonly context: number;
  readonly batch: number;
  readonly step: number;
}

/** Tokens that go through the stages of a pipeline together in a prefill (the default of vLLM and SGLang on such machines). */
const PIECE = 8192;

const devices = new WeakMap<Datasheet, Map<string, MixedMachine>>();

/** One device as kernels find it. */
function deviceOf(device: Datasheet, blueprint: Blueprint, { weightType, cacheType }: Types): MixedMachine {
  const products = weightType === "file" ? parts.map((part) => productOf(blueprint, weightType, part)) : weightType;
  const key = `${cacheType} ${products}`;
  const known = devices.get(device) ?? new Map<string, MixedMachine>();
  devices.set(device, known);
  const found = known.get(key);
  if (found) return found;
  const made = machineOf(achievableRates(hostOf(device)), blueprint, weightType, cacheType);
  known.set(key, made);
  return made;
}

/** A decoding step after `context` tokens in each sequence, in the faster form over the smallest cache. */
export function decodeOn(blueprint: Blueprint, group: Group, split: Split, load: Load): Served {
  const { tensor, data, context, pipeline } = split;
  const sequences = Math.ceil(load.batch / data);
  // As many groups of sequences are on their way as there are stages, if there are as many sequences.
  const under = Math.min(pipeline, sequences);
  const batch = Math.ceil(sequences / under);
  const all = load.context + load.step;
  const span = { t: load.step, s: Math.max(load.step, Math.round(all / context)), batch };
  const peers = Math.min(split.expert / (tensor * context), load.batch);
  const machine = deviceOf(group.device, blueprint, load);
  const { work, sending } = fastest(blueprint, group, split, { span, load, machine, peers, prefill: false });
  const whole = stageShare(blueprint, pipeline) * pipeline;
  const passing = pipeline > 1 ? pipeline * passOn(blueprint, group, split, batch * load.step, load) : 0;
  return total(work, whole, sending * whole + passing);
}

/** Reading `context` tokens of each sequence. */
export function prefillOn(blueprint: Blueprint, group: Group, split: Split, load: Load): Served {
  const { tensor, data, context, pipeline } = split;
  const batch = Math.ceil(load.batch / data);
  const t = Math.ceil(load.context / context);
  // The rows of a context rank see as many keys, on average, as all rows do.
  const span = { t, s: Math.max(t, Math.round((load.context + t) / 2)), batch, logits: 1 };
  const peers = Math.min(split.expert / tensor, load.batch * context);
  const machine = deviceOf(group.device, blueprint, load);
  const { work, sending } = fastest(blueprint, group, split, {
    span: context > 1 ? span : { ...span, s: t },
    load,
    machine,
    peers,
    prefill: true,
  });
  const tokens = batch * load.context;
  const pieces = Math.max(1, Math.ceil(tokens / PIECE));
  // Stages wait for the first piece to arrive and after the last has left.
  const filled = (stageShare(blueprint, pipeline) * (pieces + pipeline - 1)) / pieces;
  const passing = pipeline > 1 ? (pieces + pipeline - 1) * passOn(blueprint, group, split, tokens / pieces, load) : 0;
  return total(work, filled, sending * filled + passing);
}

interface Step {
  readonly span: Span;
  readonly load: Load;
  readonly machine: MixedMachine;
  readonly peers: number;
  readonly prefill: boolean;
}

/** The work of all layers on one rank, and seconds of sending, in the form that takes least. */
function fastest(blueprint: Blueprint, group: Group, split: Split, step: Step) {
  const { span, load, machine, peers, prefill } = step;
  const own = rankOf(blueprint, split.tensor);
  const cached = formsOf(blueprint).at(-1)!;
  let work: Price | undefined;
  for (const one of worksOf(own, span, load, { devices: split.expert, peers })) {
    const price = priceStep(one, machine);
    if (!work || price.seconds < work.seconds) work = price;
  }
  const tokens = span.t * (span.batch ?? 1);
  const between = betweenBytes(own, tokens, activationBytes(load.weightType)) / machine.contract.many.bytes;
  const { seconds, memory } = work!;
  return {
    work: { ...work!, seconds: seconds + between, memory: memory + between },
    sending: sendingSeconds(blueprint, group, split, { ...step, cached }, prefill),
  };
}

const known = new WeakMap<Blueprint, Map<string, StepWork[]>>();

/** Steps of which a model's work is remembered: groups of as many devices have the same layouts. */
const REMEMBERED = 256;

/** A rank's work in each form over the smallest cache, whatever the devices. */
function worksOf(own: Blueprint, span: Span, { weightType, cacheType }: Types, spread: Spread): StepWork[] {
  const { t, s, batch, logits } = span;
  const key = `${t} ${s} ${batch} ${logits} ${weightType} ${cacheType} ${spread.devices} ${spread.peers}`;
  const works = known.get(own) ?? new Map<string, StepWork[]>();
  known.set(own, works);
  const found = works.get(key);
  if (found) return found;
  const ways = waysOf(own);
  const made = ways
    .filter(({ cached }) => cached === ways.at(-1)!.cached)
    .map((way) => stepWork(own, way, span, { weightType, cacheType }, activationBytes(weightType), spread));
  if (works.size >= REMEMBERED) works.clear();
  works.set(key, made);
  return made;
}

function total(
  work: { seconds: number; compute: number; memory: number; overhead: number },
  times: number,
  sending: number,
): Served {
  const parts = [
    ["network", sending],
    ["memory", work.memory * times],
    ["compute", work.compute * times],
    ["overhead", work.overhead * times],
  ] as const;
  const [bound] = parts.reduce((most, one) => (one[1] > most[1] ? one : most));
  return { seconds: work.seconds * times + sending, sending, bound };
}

/**
 * Seconds in which the ranks of all stages send. Tensor ranks add up each attention and each feed-forward half, and the embedding, and
 * gather the logits; context ranks merge outputs in float32 (in a prefill they pass keys and values around); experts on ranks with
 * other sequences get tokens, as 8-bit floats where weights are narrow, and send 16-bit floats back (DeepEP).
 */
function sendingSeconds(
  blueprint: Blueprint,
  group: Group,
  { tensor, context, expert }: Split,
  { span: { t, batch = 1, logits = t }, load, cached }: Step & { cached: CachedForm },
  prefill: boolean,
): number {
  const { width, vocabulary, layers } = blueprint;
  const tokens = t * batch;
  const bytes = activationBytes(load.weightType);
  const rows = tokens * width * bytes;
  const [heads, together, positions] = [
    ringOf(group, tensor),
    ringOf(group, tensor * context),
    ringOf(group, context, tensor),
  ];
  const around = tensor > 1 ? allReduceSeconds(group, heads, rows) : 0;
  const logitBytes = batch * logits * vocabulary * bytes;
  let seconds = around + (tensor > 1 ? allToAllSeconds(group, heads, logitBytes) : 0);
  const cacheRow = context > 1 && prefill ? bytesPerToken(blueprint, cached, load.cacheType) : 0;
  if (cacheRow) seconds += allToAllSeconds(group, positions, (cacheRow * tokens * context) / 1);
  const same = prefill ? tensor : tensor * context;
  for (const { count, attention, feed } of layers) {
    const { sizes, variant } = attention;
    let each = around;
    if (context > 1 && !prefill && cacheOf(variant, sizes).length) {
      const output = cached === "absorbed" && variant.unfolded ? sizes.c || sizes.v : sizes.v;
      each += allReduceSeconds(group, positions, tokens * (sizes.h / tensor) * (output + 1) * 4);
    }
    if (!feed.experts || expert <= same) each += feed.experts && !prefill ? reduceSame() : around;
    else {
      const sent = { tokens: tokens / tensor, chosen: feed.chosen, once: prefill };
      const ring = ringOf(group, expert);
      const narrow = Math.min(bytes, Math.max(1, dtypes[productOf(blueprint, load.weightType, "expert")]));
      each += dispatchSeconds(group, ring, { ...sent, bytes: width * narrow });
      each += dispatchSeconds(group, ring, { ...sent, bytes: width * bytes });
    }
    seconds += count * each;
  }
  return seconds;

  function reduceSame() {
    return together.ranks > 1 ? allReduceSeconds(group, together, rows) : 0;
  }
}

/** Seconds to hand tokens to the next stage. */
function passOn(blueprint: Blueprint, group: Group, { tensor, data, context }: Split, tokens: number, load: Load) {
  const bytes = (tokens * blueprint.width * activationBytes(load.weightType)) / (tensor * context);
  return sendSeconds(group, tensor * data * context, bytes);
}
