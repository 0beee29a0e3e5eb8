/** Both forms of MLA on the visitor's device, in the worker: how far apart they are, what each reads, and what each takes. */
import {
  type Attention,
  attentionWork,
  crossoverGrid,
  type Difference,
  declaredBytes,
  differenceOn,
  expandedCache,
  type GridPoint,
  gridSeconds,
  type Machine,
  type Measured,
  parseSpec,
} from "biform/run";
import { deviceText, figuresOf, isSoftware, openDevice, tuneHere, type Where } from "./place.ts";

/** Layers that are tried, by the name that the page shows. */
export const layers = {
  tiny: ["MLA:n16:r8:v16:c64", { width: 128, heads: 4 }],
  small: ["MLA:n64:r32:v64:c256", { width: 1024, heads: 16 }],
  "deepseek-v2-lite": ["MLA:n128:r64:v128:c512", { width: 2048, heads: 16 }],
} as const;
export type Layer = keyof typeof layers;

/** What is to be tried, where, and what was measured of devices before. */
export interface Trial {
  readonly layer: Layer;
  readonly on: Where;
  readonly figures: readonly Measured[];
}

/** The ways to the same numbers: absorbed over latents, expanded over latents, which unfolds them, and over keys and values that were kept. */
export type Way = "absorbed" | "unfolding" | "kept";

/** One step of one layer, in one way. */
export interface TimedPoint {
  readonly way: Way;
  /** Tokens cached before, and new ones. */
  readonly cached: number;
  readonly t: number;
  /** Bytes of caches, and of what was unfolded from them, that are read. */
  readonly bytes: number;
  /** Seconds. */
  readonly measured: number;
  readonly predicted: number;
}

/** The faster way of two from so many tokens on; the first is so from the first point on. */
export interface Lead {
  readonly way: Way;
  readonly from: number;
}

/** Which way leads where, as measured and as predicted. */
export interface Leads {
  readonly measured: readonly Lead[];
  readonly predicted: readonly Lead[];
}

/** What has been found so far. */
export interface Timed {
  readonly device: string;
  readonly software: boolean;
  readonly layer: Layer;
  readonly spec: string;
  /** What the predictions follow from. */
  readonly machine: Machine;
  /** Tokens of which outputs were compared, and how far the forms lay apart there. */
  readonly tokens: number;
  readonly difference: Difference;
  /** Decoding by context, and steps of several tokens over so many cached ones. */
  readonly decode: readonly TimedPoint[];
  readonly chunk: readonly TimedPoint[];
  readonly over: number;
  /** Decoding by tokens cached, over latents or over keys and values; steps by new tokens, absorbed or unfolding. Once all is measured. */
  readonly leads: { readonly decode: Leads; readonly chunk: Leads } | undefined;
}

/** Who sees what, while it is found. */
export interface TrialHooks {
  readonly stage: (words: string) => void;
  readonly tuned: (figures: Measured) => void;
  readonly show: (timed: Timed) => void;
  readonly signal: AbortSignal;
}

/** Tokens whose outputs are compared; a software GPU takes seconds for a few. */
const [TOKENS, FEW_TOKENS] = [24, 8];
/** Seconds that a point is measured, and that all ways together may take at one context or step. */
const [SECONDS, MOST] = [0.08, 1.2];
/** Bytes of a cache that a page asks of a processor's memory. */
const ROOM = 256 * 2 ** 20;

/** Tries both forms. Throws DeviceError where the device fails, or memory is too small. */
export async function timeForms({ layer, on, figures }: Trial, hooks: TrialHooks): Promise<Timed> {
  const { stage, signal } = hooks;
  const device = await openDevice(on);
  try {
    const [spec, host] = layers[layer];
    const attention = parseSpec(spec, host);
    const name = deviceText(device);
    stage(`Comparing outputs on ${name}`);
    const software = isSoftware(device);
    const tokens = software ? FEW_TOKENS : TOKENS;
    const difference = await differenceOn(device, attention, { tokens, seed: 1 });
    let known = figuresOf(device, figures);
    if (!known) {
      known = await tuneHere(device, (done) => {
        signal.throwIfAborted();
        stage(`Measuring ${name}: ${Math.floor(100 * done)} %`);
      });
      hooks.tuned(known);
    }
    const { machine } = known;
    const room = device.kind === "webgpu" ? Math.min(device.traits.binding, device.traits.buffer) : ROOM;
    const contexts = software ? [32, 128, 512] : contextsFor(attention, machine, room);
    const over = contexts[Math.min(2, contexts.length - 1)]!;
    const steps = software ? [1, 4, 16] : stepsFor(attention, machine, over);
    const found: { decode: TimedPoint[]; chunk: TimedPoint[] } = { decode: [], chunk: [] };
    const timed = (leads?: Timed["leads"]): Timed => ({
      ...{ device: name, software, layer, spec, machine, tokens, difference, over, leads },
      ...{ decode: [...found.decode], chunk: [...found.chunk] },
    });
    hooks.show(timed());
    const watch = (_done: number, _total: number, what: string) => what && stage(`Timing ${what} tokens on ${name}`);
    const measure = (kind: keyof typeof found, contexts: readonly number[], steps: readonly number[]) =>
      crossoverGrid(device, attention, machine, {
        ...{ contexts, steps, seconds: SECONDS, watch, signal },
        cached: kind === "chunk" ? "declared" : undefined,
        found(point) {
          found[kind].push(timedPoint(attention, point));
          hooks.show(timed());
        },
      });
    await measure("decode", contexts, [1]);
    await measure("chunk", [over], steps);
    const both = (points: readonly TimedPoint[], ways: readonly [Way, Way], at: (point: TimedPoint) => number) => ({
      measured: leadsOf(points, ways, (point) => [at(point), point.measured]),
      predicted: leadsOf(points, ways, (point) => [at(point), point.predicted]),
    });
    return timed({
      decode: both(found.decode, ["absorbed", "kept"], ({ cached }) => cached),
      chunk: both(found.chunk, ["absorbed", "unfolding"], ({ t }) => t),
    });
  } finally {
    device.close();
  }
}

const keptOf = (attention: Attention): Attention => ({ ...attention, variant: expandedCache(attention.variant)! });

function timedPoint(attention: Attention, { s, t, cached, form, measured, predicted }: GridPoint): TimedPoint {
  const kept = cached === "unfolded";
  const work = attentionWork(kept ? keptOf(attention) : attention, form, { t, s });
  return {
    way: kept ? "kept" : form === "absorbed" ? "absorbed" : "unfolding",
    ...{ cached: s - t, t, measured, predicted },
    bytes: work.attend.bytes + (work.unfold?.bytes ?? 0),
  };
}

/** Contexts whose caches have room and that take no longer than a visitor waits; three at least. */
function contextsFor(attention: Attention, machine: Machine, room: number): number[] {
  const all = Array.from({ length: 6 }, (_, i) => 128 * 4 ** i);
  return all.filter(
    (context, i) =>
      i < 3 ||
      (declaredBytes(keptOf(attention), context, "f32") <= room &&
        gridSeconds(attention, machine, { contexts: [context], steps: [1], seconds: SECONDS }) <= MOST),
  );
}

/** New tokens of steps over a context, alike. */
function stepsFor(attention: Attention, machine: Machine, context: number): number[] {
  const of = (t: number) =>
    gridSeconds(attention, machine, { contexts: [context], steps: [t], cached: "declared", seconds: SECONDS });
  return [1, 4, 16, 64, 256, 1024].filter((t, i) => t <= context && (i < 3 || of(t) <= MOST));
}

/** Which of two ways takes less time along the points, and where that changes: between two points on a straight line through logarithms. */
export function leadsOf(
  points: readonly TimedPoint[],
  [first, second]: readonly [Way, Way],
  of: (point: TimedPoint) => readonly [at: number, seconds: number],
): Lead[] {
  const [own, others] = [first, second].map((way) =>
    points
      .filter((point) => point.way === way)
      .map(of)
      .toSorted(([a], [b]) => a - b),
  ) as [(readonly [number, number])[], (readonly [number, number])[]];
  /** Above 0 where the second leads. */
  const gains = own.map(([x, seconds], i) => ({ x, gain: Math.log(seconds / others[i]![1]) }));
  const leads: Lead[] = [];
  for (const [i, { x, gain }] of gains.entries()) {
    const way = gain > 0 ? second : first;
    const before = gains[i - 1];
    if (!before) leads.push({ way, from: x });
    else if (way !== leads.at(-1)!.way)
      leads.push({ way, from: before.x * (x / before.x) ** (before.gain / (before.gain - gain)) });
  }
  return leads;
}
