/** What a plan is asked for, as costs take it. */
import { type Dtype, dtypes, type WeightType } from "../cost/type.ts";
import type { PlanSettings } from "./plan.ts";

/** The steps that are planned: reading all tokens, and a decoding step after them. */
export const spansOf = ({ context, batch, step }: PlanSettings) => ({
  prefill: { t: context, s: context, batch, logits: 1 },
  decode: { t: step, s: context + step, batch },
});

/** All types of numbers, the one asked for first. */
export function typesFrom(asked: WeightType): readonly Dtype[] {
  return orders.get(asked) ?? all;
}

const all = Object.keys(dtypes) as Dtype[];
const orders = new Map<WeightType, readonly Dtype[]>(
  all.map((asked) => [asked, [asked, ...all.filter((other) => other !== asked)]]),
);
