/** The first answer: a sentence and a few numbers. Those of all presets are made when the page is built, so that they stand at once. */
import {
  bytes,
  compact,
  context,
  deviceMemory,
  exactBytes,
  type Group,
  type Plan,
  parametersText,
  presets,
  whole,
} from "biform/web";
import { type Planned, planOf } from "./planned.ts";
import { presetBlueprint } from "./source.ts";
import { start } from "./state.ts";

/** The cache in the form that takes the least, at the type that was asked for. */
export function leastCache({ cache, settings }: Plan): Plan["cache"][number] {
  const asked = cache.filter(({ dtype }) => dtype === settings.cacheType);
  return asked.reduce((least, row) => (row.bytes < least.bytes ? row : least));
}

/** One sentence, also for those who hear the page. */
export function headline(plan: Plan): string {
  const least = leastCache(plan);
  const { context: tokens, batch, cacheType } = plan.settings;
  const sequences = batch === 1 ? "" : ` in each of ${whole(batch)} sequences`;
  const kept = least.form === "absorbed" ? "latents" : "keys and values";
  const told = `${plan.model.name}: ${whole(tokens)} tokens${sequences} keep ${exactBytes(least.bytes)} of ${kept} in ${cacheType}.`;
  // Few fonts have the narrower blank between digits, and a browser takes longer to find one than to lay out the sentence.
  return told.replaceAll("\u202f", "\u00a0");
}

/** The headline, then the cards, a number and what it is of: what stands in the page's places for the first answer, in their order. */
export function firstValues({ plan, group }: Planned): string[] {
  const { parameters, settings, weights, cache } = plan;
  const least = leastCache(plan);
  const other = cache.find(({ form, dtype }) => form !== least.form && dtype === settings.cacheType);
  const weight = weights[0]!;
  const usual = weights.find(({ dtype, bytes }) => dtype === "bfloat16" && bytes === weight.bytes);
  const used = parameters.active < parameters.total;
  const values = String(Number(least.valuesPerTokenPerLayer.toPrecision(6)));
  return [
    headline(plan),
    parametersText(parameters.total),
    used ? `${parametersText(parameters.active)} work on a token` : "all work on every token",
    bytes(weight.bytes),
    weight.dtype !== "file" ? weight.dtype : usual ? "bfloat16" : "as shipped",
    exactBytes(least.bytes),
    `${context(settings.context)} tokens, ${least.form}${other ? `; ${other.form} ${exactBytes(other.bytes)}` : ""}`,
    bytes(least.bytesPerToken),
    `${values} values a layer`,
    group?.name ?? "none listed",
    group ? groupAbout(group, plan) : "larger than every group",
  ];
}

function groupAbout(group: Group, { machines }: Plan): string {
  const memory = `${group.count === 1 ? "" : `${group.count} × `}${bytes(deviceMemory(group))}`;
  const decode = machines.find(({ machine }) => machine === group.name)?.decode[0];
  return decode ? `${memory}; ${compact(decode.tokensPerSecond)} tokens/s` : memory;
}

/** Kinds of attention by layer, as a list of presets says them and a search finds them. */
export function kindsOf(name: string): string {
  const { layers } = presetBlueprint(name);
  return [...new Set(layers.map(({ attention }) => attention.variant.name))].join(" + ");
}

/** What the built page has of a preset. */
export interface FirstAnswer {
  readonly kinds: string;
  readonly values: readonly string[];
}

/** The preset that a bare address asks for. */
export const usual = start.model;

/** The first answers of all presets as a bare address asks for them, by name. */
export function firstAnswers(): Record<string, FirstAnswer> {
  return Object.fromEntries(
    presets.map(({ name }) => [
      name,
      { kinds: kindsOf(name), values: firstValues(planOf(presetBlueprint(name), start)) },
    ]),
  );
}
