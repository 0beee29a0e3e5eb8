import { declaredBytes } from "../attention/cache.ts";
import { formNames } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { expandedCache } from "../attention/unfold.ts";
import { chooseForm, type Machine, predict, type StepSizes } from "../cost/crossover.ts";
import type { Model } from "../model/model.ts";
import type { Device } from "../tensor/device.ts";
import { type CacheType, numberBytes } from "../tensor/page.ts";

/** Tokens times layers that ran in each form: in steps of several tokens, and of one. */
export interface FormCounts {
  readonly prefill: Readonly<Record<string, number>>;
  readonly decode: Readonly<Record<string, number>>;
}

/** What a choice was made for, and until which length of all sequences together it stays. */
interface Chosen {
  readonly t: number;
  readonly sequences: number;
  readonly from: number;
  readonly to: number;
  readonly machine: Machine;
  readonly form: string;
}

const known = new WeakMap<Attention, Chosen>();

/**
 * The form of one layer for a step of one sequence, or of several that bring as many tokens each: `wanted` where the layer has it,
 * else the one predicted to be fastest for all of them together.
 */
export function formFor(
  attention: Attention,
  wanted: string | undefined,
  steps: readonly StepSizes[],
  machine: Machine,
): string {
  const names = formNames(attention.variant, attention.sizes);
  if (wanted !== undefined && names.includes(wanted)) return wanted;
  if (names.length === 1) return names[0]!;
  const last = known.get(attention);
  const { t } = steps[0]!;
  const [sequences, s] = [steps.length, steps.reduce((sum, step) => sum + step.s, 0)];
  const alike = last && last.t === t && last.sequences === sequences && last.machine === machine;
  if (alike && s >= last.from && s <= last.to) return last.form;
  const form = chooseForm(attention, steps, machine);
  // Decoding asks at every token and layer; a few tokens more change no choice that matters.
  known.set(attention, { t, sequences, from: s, to: s + (s >> 5), machine, form });
  return form;
}

/** The counts with one more step of t tokens whose layers ran in these forms. */
export function countForms(counts: FormCounts, t: number, forms: readonly string[]): FormCounts {
  const kind = t > 1 ? "prefill" : "decode";
  const tally: Record<string, number> = { ...counts[kind] };
  for (const form of forms) tally[form] = (tally[form] ?? 0) + t;
  return { ...counts, [kind]: tally };
}

/** A step over `model` as the machine would run it: the forms of its layers, in order. */
export function formsFor(
  model: Model,
  wanted: string | undefined,
  steps: readonly StepSizes[],
  machine: Machine,
): string[] {
  return model.layers.map(({ attention }) => formFor(attention, wanted, steps, machine));
}

/** What layers that could keep either leave behind: what the variant declares, what that unfolds to, or what decodes faster. */
export type Keep = "declared" | "unfolded" | "faster";

/** What decides between the two. */
export interface Room {
  /** Most tokens, and where their cache lies. */
  readonly context: number;
  readonly device: Device;
  readonly type: CacheType;
  readonly machine: Machine;
}

/**
 * The same model with keys and values in the cache of layers that unfold: of all, or of those that decode faster so at the full
 * context, as long as they fit.
 */
export function keepForms(model: Model, keep: Keep, { context, device, type, machine }: Room): Model {
  if (keep === "declared" || (keep === "faster" && !Number.isFinite(context))) return model;
  let left = device.freeBytes;
  if (keep === "faster") for (const { attention } of model.layers) left -= declaredBytes(attention, context, type);
  const layers = model.layers.map((layer) => {
    const variant = expandedCache(layer.attention.variant);
    if (!variant) return layer;
    const attention = { ...layer.attention, variant };
    if (keep === "faster") {
      const more = declaredBytes(attention, context, type) - declaredBytes(layer.attention, context, type);
      const time = (of: Attention) => {
        const step = { t: 1, s: context, cacheBytes: numberBytes[type] };
        return predict(of, chooseForm(of, step, machine), step, machine).total;
      };
      if (more > left || time(attention) >= time(layer.attention)) return layer;
      left -= more;
    }
    return { ...layer, attention };
  });
  return { ...model, layers };
}
