import type { Blueprint } from "./blueprint.ts";
import { activationBytes, type Span, type Types, type Way } from "./cost.ts";
import { crossoverChunk, crossoverContext, type Machine, predict, rivalsOf } from "./crossover.ts";
import type { Host } from "./host.ts";
import { keptOf } from "./keep.ts";
import { eachPart, productOf, widthsOf } from "./part.ts";
import { type MixedMachine, type Price, priceStep, type StepWork, stepWork } from "./step.ts";
import { type Dtype, dtypes, type WeightType } from "./type.ts";

/** Tokens beyond which nothing changes any more. */
const FAR = 2 ** 40;

/** What most of a step's time goes into: arithmetic, reading, or starting ops. */
export type Limit = "compute" | "memory" | "overhead";

/** Predicted seconds of a step, and what most of them go into. */
export interface Timing {
  readonly seconds: number;
  readonly limit: Limit;
}

/** A machine and what it counts a number between two ops as. */
export interface Running {
  readonly machine: MixedMachine;
  readonly activationBytes: number;
}

/** A machine that multiplies each part of a model in the type that this part's products are of. */
export function machineOf(
  rates: Host["rates"],
  blueprint: Blueprint,
  type: WeightType,
  cacheType?: Dtype,
): MixedMachine {
  if (type !== "file") return rates(type, cacheType);
  const products = eachPart((part) => productOf(blueprint, type, part));
  const machines = new Map<Dtype, Machine>();
  for (const product of Object.values(products))
    if (!machines.has(product)) machines.set(product, rates(product, cacheType));
  const attention = machines.get(products.attention)!;
  if (machines.size === 1) return attention;
  return { ...attention, contracts: eachPart((part) => machines.get(products[part])!.contract) };
}

/** How a host runs a model. Where reading and computing do not overlap, Biform's kernels run, which compute in float32. */
export function runningOn(
  host: Pick<Host, "rates">,
  blueprint: Blueprint,
  type: WeightType,
  cacheType?: Dtype,
): Running {
  const machine = machineOf(host.rates, blueprint, type, cacheType);
  return { machine, activationBytes: machine.overlaps ? activationBytes(type) : 4 };
}

/** Steps that are alike, one after the other. */
export interface Steps {
  readonly span: Span;
  readonly times: number;
}

/** Chunks of a prefill that are looked at; those between are about as long. */
const PIECES = 8;

/** A prefill of `context` tokens as its steps: all at once, or `chunk` new tokens at a time, of which the last gives logits. */
export function prefillSteps(context: number, batch: number, chunk = context): Steps[] {
  const whole = Math.ceil(context / chunk) - 1;
  const steps: Steps[] = [];
  for (let piece = 0; piece < Math.min(PIECES, whole); piece++) {
    const [from, to] = [piece, piece + 1].map((n) => Math.round((n * whole) / Math.min(PIECES, whole)));
    // Time grows in proportion to the tokens before: the middle of a run of chunks stands for all of them.
    const before = (chunk * (from! + to! - 1)) / 2;
    steps.push({ span: { t: chunk, s: before + chunk, batch, logits: 0 }, times: to! - from! });
  }
  return [...steps, { span: { t: context - whole * chunk, s: context, batch, logits: 1 }, times: 1 }];
}

/** Seconds of steps of the whole model, and the limit that binds. */
export function timingOf(
  blueprint: Blueprint,
  way: Way,
  steps: readonly Steps[],
  types: Types,
  running: Running,
): Timing {
  return priceSteps(
    steps.map(({ span, times }) => ({ work: stepWork(blueprint, way, span, types, running.activationBytes), times })),
    running.machine,
  );
}

/** Seconds of steps whose work is known, and the limit that binds. */
export function priceSteps(
  steps: readonly { readonly work: StepWork; readonly times: number }[],
  machine: MixedMachine,
): Timing {
  let before: Price | undefined;
  for (const { work, times } of steps) before = priceStep(work, machine, { times, ...(before && { before }) });
  const { seconds, compute, memory, overhead } = before!;
  const most = Math.max(compute, memory, overhead);
  const limit = most === overhead && overhead > 0 ? "overhead" : most === memory ? "memory" : "compute";
  return { seconds, limit };
}

/** Seconds of one step: attention as the runtime predicts it, the rest as contractions at the same rates. */
export function stepSeconds(blueprint: Blueprint, way: Way, span: Span, types: Types, running: Running): number {
  return priceStep(stepWork(blueprint, way, span, types, running.activationBytes), running.machine).seconds;
}

/** Where the two forms of a model change places; undefined for one with one form. */
export function crossoverOf(
  blueprint: Blueprint,
  settings: Types & { readonly context: number; readonly step: number; readonly batch: number },
  { machine, activationBytes }: Running,
): { readonly decodeContext: number | null; readonly prefillChunk: number } | undefined {
  const kind = blueprint.layers.find((kind) => keptOf(kind).absorbed?.forms.absorbed);
  if (!kind) return undefined;
  const { context, step, batch, weightType, cacheType } = settings;
  const { expanded, absorbed } = keptOf(kind);
  const types = {
    cacheBytes: dtypes[cacheType],
    weightBytes: widthsOf(blueprint, weightType).attention,
    activationBytes,
    batch,
  };
  const decoding = [
    { attention: expanded.attention, form: expanded.forms.expanded! },
    { attention: absorbed!.attention, form: absorbed!.forms.absorbed! },
  ] as const;
  const from = crossoverContext(decoding, { ...types, t: step }, machine);
  // Where new tokens see few of each other, absorbed may be faster for a handful of tokens and never again.
  const [whole, latent] = decoding.map(
    ({ attention, form }) => predict(attention, form, { ...types, t: step, s: FAR }, machine).total,
  );
  const stays = Number.isFinite(from) && latent! < whole!;
  const chunk = crossoverChunk(rivalsOf(absorbed!.attention)!, { ...types, batch: 1, s: context }, machine);
  return { decodeContext: stays ? from : null, prefillChunk: Math.min(chunk, context) };
}
