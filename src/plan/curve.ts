/** The lines that pictures of a plan draw, on a terminal and as SVG: what a plan says at one context, at many. */
import type { Blueprint } from "../cost/blueprint.ts";
import {
  cacheBytes,
  formsOf,
  longestContext,
  type Span,
  stepBytes,
  stepFlops,
  type Way,
  waysOf,
  weightBytes,
} from "../cost/cost.ts";
import type { Host } from "../cost/host.ts";
import type { CachedForm } from "../cost/keep.ts";
import { crossoverOf, runningOn, stepSeconds } from "../cost/time.ts";
import type { PlanSettings } from "./plan.ts";

export type Point = readonly [x: number, y: number];

/** A quantity by tokens, both ascending; `form` is what is kept or what runs, as the picture says. */
export interface Line {
  readonly form: CachedForm;
  readonly points: readonly Point[];
}

/** The lines of one model, and where two of them cross within the picture. */
export interface Curves {
  readonly model: string;
  readonly lines: readonly Line[];
  readonly crossing?: Point;
  /** In words where they do not cross: "always", "never". */
  readonly crossingText?: string;
}

/** Cache bytes by tokens, and what machines have left for it beside the weights. */
export interface Memory extends Curves {
  readonly rooms: readonly { readonly machine: string; readonly bytes: number; readonly ends: readonly Point[] }[];
  /** Machines that the weights alone do not fit into. */
  readonly small: readonly string[];
}

/** A machine's ceilings, and the work that is done under them. */
export interface Roof {
  readonly machine: string;
  readonly flops: number;
  readonly bytes: number;
  readonly works: readonly {
    readonly phase: "prefill" | "decode";
    readonly form: CachedForm;
    /** FLOPs per byte, and predicted FLOPs per second. */
    readonly at: Point;
  }[];
}

type Settings = Pick<PlanSettings, "context" | "batch" | "step" | "weightType" | "cacheType">;

/** Numbers from low to high in equal ratios, whole and each once. */
function spread(low: number, high: number, count: number): number[] {
  const ratio = high / low;
  const all = Array.from({ length: count }, (_, at) => Math.round(low * ratio ** (at / (count - 1))));
  return [...new Set(all)];
}

/** The most tokens that a picture shows: what the model is declared for, or more where more are asked for. */
function farthest({ maxContext = 131072 }: Blueprint, { context }: Settings): number {
  return Math.max(maxContext, context, 1024);
}

/** Bytes of the caches of all sequences by tokens of each, in each form. */
export function memoryCurves(blueprint: Blueprint, settings: PlanSettings, { points = 40 } = {}): Memory {
  const { batch, cacheType, weightType, hosts } = settings;
  const far = farthest(blueprint, settings);
  const lines = formsOf(blueprint).map((form) => ({
    form,
    points: spread(Math.min(256, far), far, points).map(
      (tokens): Point => [tokens, batch * cacheBytes(blueprint, form, cacheType, tokens)],
    ),
  }));
  const weights = weightBytes(blueprint, weightType);
  const known = hosts.flatMap(({ name, memory }) =>
    memory === undefined ? [] : [{ machine: name, bytes: memory - weights }],
  );
  const rooms = known
    .filter(({ bytes }) => bytes > 0)
    .map(({ machine, bytes }) => ({
      machine,
      bytes,
      ends: lines.flatMap(({ form }): Point[] => {
        const tokens = longestContext(blueprint, form, cacheType, { room: bytes, batch });
        return tokens >= 256 && tokens <= far ? [[tokens, batch * cacheBytes(blueprint, form, cacheType, tokens)]] : [];
      }),
    }));
  const small = known.filter(({ bytes }) => bytes <= 0).map(({ machine }) => machine);
  return { model: blueprint.name, lines, rooms, small };
}

/** Seconds of a decoding step by tokens in all, for each form that is kept; absorbed runs over latents, expanded over keys and values. */
export function decodeCurves(blueprint: Blueprint, settings: Settings, host: Host, { points = 40 } = {}): Curves {
  const { step, batch } = settings;
  const running = runningOn(host, blueprint, settings.weightType, settings.cacheType);
  const seconds = (way: Way, s: number) => stepSeconds(blueprint, way, { t: step, s, batch }, settings, running);
  const [near, far] = [Math.max(64, step), farthest(blueprint, settings)];
  const ways = waysOf(blueprint).filter(({ cached, form }) => cached === form);
  const lines = ways.map((way) => ({
    form: way.cached,
    points: spread(near, far, points).map((s): Point => [s, seconds(way, s)]),
  }));
  const at = crossoverOf(blueprint, settings, running)?.decodeContext;
  if (at === undefined || lines.length < 2) return { model: blueprint.name, lines };
  if (at === null) return { model: blueprint.name, lines, crossingText: "never" };
  if (at <= step + 1) return { model: blueprint.name, lines, crossingText: "always" };
  if (at < near || at > far) return { model: blueprint.name, lines, crossingText: `from ${Math.ceil(at)} tokens on` };
  return { model: blueprint.name, lines, crossing: [at, seconds(ways.find(({ form }) => form === "absorbed")!, at)] };
}

/** Seconds of a step of so many new tokens, at `settings.context` tokens in all, for each form that runs over what is kept. */
export function prefillCurves(blueprint: Blueprint, settings: Settings, host: Host, { points = 40 } = {}): Curves {
  const { context } = settings;
  const running = runningOn(host, blueprint, settings.weightType, settings.cacheType);
  const seconds = (way: Way, t: number) => stepSeconds(blueprint, way, { t, s: context, logits: 1 }, settings, running);
  const kept = formsOf(blueprint).at(-1)!;
  const ways = waysOf(blueprint).filter(({ cached }) => cached === kept);
  const lines = ways.map((way) => ({
    form: way.form,
    points: spread(1, Math.max(2, context), points).map((t): Point => [t, seconds(way, t)]),
  }));
  const at = crossoverOf(blueprint, settings, running)?.prefillChunk;
  if (at === undefined || lines.length < 2) return { model: blueprint.name, lines };
  if (at < 1) return { model: blueprint.name, lines, crossingText: "never" };
  if (at >= context) return { model: blueprint.name, lines, crossingText: "always" };
  return { model: blueprint.name, lines, crossing: [at, seconds(ways.find(({ form }) => form === "absorbed")!, at)] };
}

/** Every machine's ceilings with the prefill of `settings.context` tokens and a decoding step in each form that is kept. */
export function roofsOf(blueprint: Blueprint, settings: PlanSettings): Roof[] {
  const { context, step, batch, hosts } = settings;
  const kept = waysOf(blueprint).filter(({ cached, form }) => cached === form);
  return hosts.map((host) => {
    const running = runningOn(host, blueprint, settings.weightType, settings.cacheType);
    const { contract } = running.machine;
    const work = (phase: "prefill" | "decode", way: Way, span: Span) => {
      const flops = stepFlops(blueprint, way, span);
      const { weights, read, written, unfolded } = stepBytes(blueprint, way, span, settings);
      const at: Point = [
        flops / (weights + read + written + unfolded),
        flops / stepSeconds(blueprint, way, span, settings, running),
      ];
      return { phase, form: way.form, at };
    };
    return {
      machine: host.name,
      flops: contract.many.flops,
      bytes: contract.few.bytes,
      works: [
        work("prefill", waysOf(blueprint).at(-1)!, { t: context, s: context, batch, logits: 1 }),
        ...kept.map((way) => work("decode", way, { t: step, s: context + step, batch })),
      ],
    };
  });
}

/** Name of a piece of work: "decode absorbed"; the form is left out where a model has one. */
export function workName(work: Roof["works"][number], works: Roof["works"]): string {
  const several = works.filter(({ phase }) => phase === work.phase).length > 1;
  return several ? `${work.phase} ${work.form}` : work.phase;
}
