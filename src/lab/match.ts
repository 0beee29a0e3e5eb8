import { cacheValues } from "../attention/define.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { type Model, modelSize } from "../model/model.ts";
import { ShapeError } from "../tensor/error.ts";
import { trainFlopsPerToken } from "../train/train.ts";

/** What is made equal to the first variant's. */
export type Matching = "parameters" | "flops" | "time" | "none";

/** What the sizes must reach. */
export interface Goal {
  readonly match: ReadonlySet<Matching>;
  /** Most cache numbers per token and layer; variants above it get smaller dims. */
  readonly maxCache?: number | undefined;
  readonly length: number;
  readonly batch: number;
  /** Training steps of the first variant, or FLOPs for every variant. */
  readonly budget: { readonly steps: number } | { readonly flops: number };
  /** Steps a second of each variant, as measured: with time matched, whoever takes longer for a step takes fewer. */
  readonly speeds?: Readonly<Record<string, number>> | undefined;
}

/** One variant at the sizes found for it. */
export interface Matched {
  readonly pattern: string;
  readonly settings: ModelSettings;
  readonly model: Model;
  readonly steps: number;
  /** What could not be matched, a sentence each. */
  readonly unmatched: readonly string[];
}

/** Widths are multiples of this: kernels work in tiles, and parameters stay within a fraction of a percent. */
const GRAIN = 4;

/**
 * Sizes for each variant so that it meets the first one: parameters through the width of its MLP, training FLOPs or time through
 * its number of steps, and cache below a limit through its dims. Throws ShapeError where a spec cannot be built at all, or its speed
 * is not known.
 */
export function match(patterns: readonly string[], base: ModelSettings, goal: Goal): Matched[] {
  const first = fitCache(patterns[0]!, base, goal);
  const parameters = modelSize(first.model);
  const flopsPerStep = (model: Model) => trainFlopsPerToken(model, goal.length) * goal.length * goal.batch;
  const flops = "flops" in goal.budget ? goal.budget.flops : goal.budget.steps * flopsPerStep(first.model);
  const firstSteps = "steps" in goal.budget ? goal.budget.steps : flops / flopsPerStep(first.model);
  return patterns.map((pattern, i) => {
    const unmatched: string[] = [];
    let { settings, model } = i === 0 ? first : fitCache(pattern, base, goal);
    if (settings.scale !== undefined)
      unmatched.push(`dims scaled by ${settings.scale.toFixed(3)} to keep the cache within ${goal.maxCache}`);
    if (i > 0 && goal.match.has("parameters")) {
      settings = { ...settings, intermediate: widthFor(pattern, settings, parameters) };
      model = buildModel(pattern, settings);
      const off = modelSize(model) / parameters - 1;
      if (Math.abs(off) > 0.005)
        unmatched.push(
          `parameters are ${percent(off)} the first variant's, with an MLP of width ${settings.intermediate}`,
        );
    }
    const byFlops = "flops" in goal.budget || goal.match.has("flops");
    const wanted = goal.match.has("time")
      ? (firstSteps * speedOf(pattern, goal)) / speedOf(patterns[0]!, goal)
      : byFlops
        ? flops / flopsPerStep(model)
        : firstSteps;
    const steps = Math.max(1, Math.round(wanted));
    const off = (steps * flopsPerStep(model)) / flops - 1;
    if (i > 0 && Math.abs(off) > 0.01) unmatched.push(`training FLOPs are ${percent(off)} the first variant's`);
    return { pattern, settings, model, steps, unmatched };
  });
}

function speedOf(pattern: string, { speeds }: Goal): number {
  const speed = speeds?.[pattern];
  if (speed === undefined)
    throw new ShapeError(`${pattern}: got no measured speed, expected one to match time by; measure it: see --times`);
  return speed;
}

/** Numbers per token and layer in the cache, on average over the layers. */
export function cachePerLayer(model: Model): number {
  const all = model.layers.map(({ attention }) => cacheValues(attention.variant, attention.sizes));
  return all.reduce((a, b) => a + b, 0) / all.length;
}

function fitCache(pattern: string, base: ModelSettings, goal: Goal): { settings: ModelSettings; model: Model } {
  const model = buildModel(pattern, base);
  if (goal.maxCache === undefined || cachePerLayer(model) <= goal.maxCache) return { settings: base, model };
  for (let scale = 63 / 64; scale > 0; scale -= 1 / 64) {
    const settings = { ...base, scale };
    const smaller = buildModel(pattern, settings);
    if (cachePerLayer(smaller) <= goal.maxCache) return { settings, model: smaller };
  }
  throw new ShapeError(
    `${pattern}: cache got ${cachePerLayer(model)} per token and layer, expected at most ${goal.maxCache}; raise the limit`,
  );
}

/** The MLP width whose model comes nearest to this many parameters. */
function widthFor(pattern: string, settings: ModelSettings, parameters: number): number {
  const size = (intermediate: number) => modelSize(buildModel(pattern, { ...settings, intermediate }));
  // Parameters grow linearly with the width.
  const slope = (size(2 * GRAIN) - size(GRAIN)) / GRAIN;
  const exact = GRAIN + (parameters - size(GRAIN)) / slope;
  return Math.max(GRAIN, GRAIN * Math.round(exact / GRAIN));
}

function percent(off: number): string {
  return `${Math.abs(100 * off).toFixed(1)} % ${off > 0 ? "above" : "below"}`;
}
