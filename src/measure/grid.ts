import { type Cache, declaredBytes } from "../attention/cache.ts";
import { formNames, parameterCount } from "../attention/define.ts";
import { type Attention, runAttention } from "../attention/layer.ts";
import { expandedCache } from "../attention/unfold.ts";
import { type Machine, predict } from "../cost/crossover.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { type CacheType, numberBytes } from "../tensor/page.ts";
import { type Device, Scope, scope } from "../tensor/tensor.ts";
import { batchSeconds, batchTimes, type Clock, typicalTime, wall } from "./clock.ts";
import { fillCache, noise, noiseParams } from "./noise.ts";

/** Which steps to measure, for how long, and who watches. */
export interface GridOptions {
  /** Tokens in the cache before a step, and new tokens of one. */
  readonly contexts: readonly number[];
  readonly steps: readonly number[];
  /** Element types of the cache; float32 unless given. */
  readonly types?: readonly CacheType[];
  /** What is cached; both unless given. */
  readonly cached?: GridPoint["cached"] | undefined;
  /** About how long each point is measured, two runs at least; a quarter of a second unless given. */
  readonly seconds?: number;
  /** The wall's unless given. */
  readonly clock?: Clock;
  /** Sees the seconds that should have passed, and those of all points, as the machine's rates predict them. */
  readonly watch?: (done: number, total: number, what: string) => void;
  /** Sees each point once it is measured. */
  readonly found?: (point: GridPoint) => void;
  readonly signal?: AbortSignal;
}

/** One way to run one step of one layer. */
export interface GridPoint {
  /** All tokens, new ones included, and the new ones. */
  readonly s: number;
  readonly t: number;
  readonly type: CacheType;
  /** What is cached: what the variant declares, or what that unfolds to. */
  readonly cached: "declared" | "unfolded";
  readonly form: string;
  /** Seconds. */
  readonly measured: number;
  readonly predicted: number;
}

/** Seconds that a point is measured, unless said otherwise. */
const SECONDS = 0.25;
/** Bytes that are read between two uses of the same weights and cache: more than a processor's caches hold. */
const APART = 256 * 2 ** 20;
/** Most layers that take turns. */
const LAYERS = 32;

/**
 * Measures one layer of an attention over a grid of steps, in every form and over every cache it may have, and predicts the same.
 * Several layers take turns, as in a model, so that weights and caches come from memory. Throws DeviceError where they do not fit.
 */
export async function crossoverGrid(
  device: Device,
  attention: Attention,
  machine: Machine,
  options: GridOptions,
): Promise<GridPoint[]> {
  const { steps, seconds = SECONDS, clock = wall, watch, found, signal } = options;
  const kinds = kindsOf(attention, options);
  const total = gridSeconds(attention, machine, options);
  const points: GridPoint[] = [];
  const own = new Scope(device);
  try {
    const most = layersFor(parameterBytes(attention));
    const weights = own.run(() => Array.from({ length: most }, () => noiseParams(device, attention)));
    let done = 0;
    for (const { cached, layer, type, context, forms } of kinds) {
      const count = Math.min(most, layersFor(parameterBytes(attention) + declaredBytes(layer, context, type)));
      const caches: Cache[] = [];
      try {
        while (caches.length < count) caches.push(fillCache(device, layer, context, type));
        for (const t of steps) {
          const x = own.run(() => noise(device, [t, attention.sizes.d]));
          const positions = positionsOf(context, t);
          for (const form of forms) {
            signal?.throwIfAborted();
            watch?.(done, total, `${form} ${t} over ${context}`);
            let turn = 0;
            const run = () => {
              const i = turn++ % count;
              scope(device, () => void runAttention(layer, weights[i]!, x, { positions, form, cache: caches[i]! }));
              caches[i]!.rewind(context);
            };
            const measured = typicalTime(await batchTimes({ run, fence: () => device.fence() }, seconds, clock));
            const predicted = predict(layer, form, { t, s: context + t, cacheBytes: numberBytes[type] }, machine).total;
            const point: GridPoint = { s: context + t, t, type, cached, form, measured, predicted };
            points.push(point);
            found?.(point);
            done += batchSeconds(predicted, seconds);
          }
          x.free();
        }
      } finally {
        for (const cache of caches) cache.free();
      }
    }
    watch?.(total, total, "");
    return points;
  } finally {
    own.end();
  }
}

/** Seconds that the whole grid takes, where a machine is as its rates say. */
export function gridSeconds(
  attention: Attention,
  machine: Machine,
  options: Pick<GridOptions, "contexts" | "steps" | "types" | "cached" | "seconds">,
): number {
  let sum = 0;
  for (const { layer, type, context, forms } of kindsOf(attention, options))
    for (const t of options.steps)
      for (const form of forms) {
        const step = { t, s: context + t, cacheBytes: numberBytes[type] };
        sum += batchSeconds(predict(layer, form, step, machine).total, options.seconds ?? SECONDS);
      }
  return sum;
}

/** Every cache that a layer may have, and the forms that run over it. */
function kindsOf(
  attention: Attention,
  { contexts, types = ["f32"], cached: only }: Pick<GridOptions, "contexts" | "types" | "cached">,
) {
  const unfolded = expandedCache(attention.variant);
  const both = [
    { cached: "declared" as const, layer: attention },
    ...(unfolded ? [{ cached: "unfolded" as const, layer: { ...attention, variant: unfolded } }] : []),
  ];
  return both
    .filter(({ cached }) => only === undefined || cached === only)
    .flatMap((kind) =>
      types.flatMap((type) =>
        contexts.map((context) => ({ ...kind, type, context, forms: formNames(kind.layer.variant, attention.sizes) })),
      ),
    );
}

const layersFor = (bytes: number) => Math.min(LAYERS, Math.ceil(APART / bytes));
const parameterBytes = ({ variant, sizes }: Attention) => 4 * parameterCount(variant, sizes);
