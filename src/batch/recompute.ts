import { blueprintOf } from "../cost/blueprint.ts";
import { waysOf } from "../cost/cost.ts";
import type { Machine } from "../cost/crossover.ts";
import { stepSeconds } from "../cost/time.ts";
import type { Model } from "../model/model.ts";
import type { CacheType } from "../tensor/page.ts";

/** Tokens whose cost is looked at: prices in between lie on a line, since attention costs in proportion to what is before. */
const KNOTS = 2048;

const dtypes = { f32: "float32", bf16: "bfloat16", q8: "int8" } as const;

/**
 * Predicted seconds to run the tokens from `start` up to `end` again, as a prompt is read: by the machine's rates, in the form that
 * takes the least.
 */
export function recomputing(model: Model, machine: Machine, cache: CacheType): (start: number, end: number) => number {
  const blueprint = blueprintOf(model, "model");
  const types = { weightType: "float32", cacheType: dtypes[cache] } as const;
  const price = (t: number, s: number) =>
    Math.min(
      ...waysOf(blueprint).map((way) =>
        stepSeconds(blueprint, way, { t, s, logits: 0 }, types, { machine, activationBytes: 4 }),
      ),
    );
  const known = new Map<number, number>();
  /** Seconds of the token at a knot, of a step of many. */
  const each = (knot: number) => {
    const found = known.get(knot) ?? price(KNOTS, (knot + 1) * KNOTS) / KNOTS;
    known.set(knot, found);
    return found;
  };
  return (start, end) => (end - start) * each(Math.floor((start + end) / 2 / KNOTS));
}
