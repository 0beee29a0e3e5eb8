/** A plan as a terminal shows it: plain text of at most 100 columns, what people ask first above, every number below. */

import type { CachedForm } from "../../cost/keep.ts";
import { columns, joinBlocks } from "../../draw/column.ts";
import { bytes, compact, context, exactBytes, time } from "../../draw/quantity.ts";
import { clip, toAscii, wrapNote } from "../../draw/text.ts";
import type { Plan } from "../schema.ts";
import { engineLines } from "./engine.ts";
import { groupLines, offloadLines } from "./group.ts";

type PlannedMachine = Plan["machines"][number];

/** The plan's answers in the order in which they are asked for: what it is, what fits, how fast, what engines keep; then layouts. */
export function planTable(plan: Plan): string {
  return joinBlocks([
    heading(plan),
    fitLines(plan),
    speedLines(plan),
    ...groupLines(plan),
    offloadLines(plan),
    engineLines(plan),
    layouts(plan),
    notes(plan),
  ]);
}

/** "8192 tokens, 2 sequences, ..." */
export function settingsText({ settings }: Plan): string {
  const { context, batch, step, accepted, weightType, cacheType } = settings;
  const many = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const weights = weightType === "file" ? "weights as shipped" : `weights ${weightType}`;
  return [
    many(context, "token"),
    many(batch, "sequence"),
    `${many(step, "new token")} per step${accepted < step ? `, ${accepted} accepted` : ""}`,
    weights,
    `cache ${cacheType}`,
  ].join(", ");
}

/** A count of parameters as people say it: 671B. */
export function parametersText(count: number): string {
  return compact(count).replace("G", "B");
}

function heading(plan: Plan): string[] {
  const { model, parameters, weights } = plan;
  const { total, active } = parameters;
  const used = active < total ? `, ${parametersText(active)} active per token` : "";
  const declared = model.maxContext ? `, declared for ${model.maxContext} tokens` : "";
  const lines = [
    `${toAscii(model.name)}: ${parametersText(total)} parameters${used}; ${toAscii(model.architecture)}, ${model.layers} layers, width ${model.width}${declared}`,
    `weights   ${distinct(weights)
      .map(({ dtype, bytes: size }) => `${toAscii(dtype)} ${bytes(size)}`)
      .join(", ")}`,
    ...draftText(plan),
    `planned   ${settingsText(plan)}`,
  ];
  return lines.flatMap((line) => wrapNote(line, "          "));
}

/** What layers that propose tokens add to the model, where there are some. */
function draftText({ draft, settings }: Plan): string[] {
  if (!draft) return [];
  const cache = draft.cache.filter(({ dtype }) => dtype === settings.cacheType);
  const least = cache.reduce((least, row) => (row.bytes < least.bytes ? row : least));
  const weights = `${parametersText(draft.parameters.total)} parameters, ${bytes(draft.weights[0]!.bytes)}`;
  return [
    `draft     ${toAscii(draft.name)} adds ${weights}; cache ${bytes(least.bytesPerToken)} a token, ${exactBytes(least.bytes)} in all`,
  ];
}

/** How many times the smallest: "1", "71.1". */
export function times(value: number, least: number): string {
  const ratio = value / least;
  if (!Number.isFinite(ratio)) return "–";
  return Math.abs(ratio - 1) < 5e-4 ? "1" : String(Number(ratio.toPrecision(3)));
}

/** Names of the forms that are cached, the smallest first. */
export function cachedForms({ cache }: Plan): CachedForm[] {
  return [
    ...new Set(cache.toSorted((a, b) => a.valuesPerTokenPerLayer - b.valuesPerTokenPerLayer).map(({ form }) => form)),
  ];
}

/** Types with their sizes, those of equal size as the first of them. */
export function distinct<T extends { dtype: string; bytes: number }>(entries: readonly T[]): T[] {
  return entries.filter(({ bytes }, at) => entries.findIndex((other) => other.bytes === bytes) === at);
}

/** "8k", or "8k x 4" where there are several sequences. */
export function extent({ settings: { context: tokens, batch } }: Plan): string {
  return batch === 1 ? context(tokens) : `${context(tokens)} x ${batch}`;
}

function fitLines(plan: Plan): string[] {
  const { cache, settings, machines } = plan;
  const type = settings.cacheType;
  const forms = cachedForms(plan);
  const least = Math.min(...cache.filter(({ dtype }) => dtype === type).map(({ bytes }) => bytes));
  const others = distinct(cache.filter(({ form }) => form === forms[0])).filter(({ dtype }) => dtype !== type);
  const rows = forms.map((form) => {
    const sizes = new Map(cache.filter((entry) => entry.form === form).map((entry) => [entry.dtype, entry]));
    const own = sizes.get(type)!;
    return [
      form,
      Number(own.valuesPerTokenPerLayer.toPrecision(6)),
      bytes(own.bytesPerToken),
      exactBytes(own.bytes),
      times(own.bytes, least),
      ...others.map(({ dtype }) => bytes(sizes.get(dtype)!.bytes)),
    ];
  });
  const kept = columns(
    [
      "Cache, if kept",
      "values\n/token/layer",
      "bytes\n/token",
      `${settings.cacheType}\nat ${extent(plan)}`,
      "times\nthe least",
      ...others.map(({ dtype }) => dtype),
    ],
    rows,
  );
  const holding = machines.filter(({ longestContext }) => longestContext.length > 0);
  if (holding.length === 0) return kept;
  const most = columns(
    ["How much fits", "memory", `${extent(plan)}\nfits`, ...forms.map((form) => `most tokens,\n${form}`)],
    holding.map(({ machine, memory, fits, longestContext }) => [
      nameCell(machine),
      memory === undefined ? "–" : bytes(memory),
      fits === undefined ? "–" : fits ? "yes" : "no",
      ...forms.map((form) =>
        tokens(longestContext.find((entry) => entry.form === form && entry.dtype === settings.cacheType)?.tokens),
      ),
    ]),
  );
  return [...kept, "", ...most];
}

function nameCell(machine: string, mark = ""): string {
  return `${clip(toAscii(machine), 26 - mark.length)}${mark}`;
}

/** The most tokens: none where the weights alone do not fit, any where no length fills the memory. */
export function tokens(most: number | null | undefined): string {
  if (most === undefined) return "–";
  return most === null ? "any" : most === 0 ? "none" : String(most);
}

/** From which context decoding over latents is faster, in words of one cell. */
export function crossoverText({ crossover }: PlannedMachine): string {
  if (!crossover) return "–";
  const { decodeContext } = crossover;
  return decodeContext === null ? "never" : decodeContext <= 2 ? "always" : `${Math.ceil(decodeContext)} tokens`;
}

function speedLines(plan: Plan): string[] {
  const { machines, settings } = plan;
  const timed = machines.filter(({ prefill, decode }) => prefill.length > 0 && decode.length > 0);
  if (timed.length === 0) return [];
  const two = timed.some(({ crossover }) => crossover);
  const at = context(settings.context);
  return columns(
    [
      "How fast",
      `prefill\n${at}`,
      "bound\nby",
      "decode\ntok/s",
      "bound\nby",
      ...(two ? ["decode\nover", "absorbed\nis faster\nfrom", "absorbed\nchunks\nup to"] : []),
    ],
    timed.map((machine) => {
      const [prefill, decode] = [machine.prefill[0]!, machine.decode[0]!];
      const { crossover } = machine;
      return [
        nameCell(machine.machine, markOf(machine)),
        time(prefill.seconds),
        prefill.limit,
        compact(decode.tokensPerSecond),
        decode.limit,
        ...(two
          ? [decode.cached, crossoverText(machine), crossover ? `${Math.floor(crossover.prefillChunk)} new` : "–"]
          : []),
      ];
    }),
  );
}

function layouts(plan: Plan): string[] {
  if (plan.layouts.length === 0) return [];
  const rows = plan.layouts.map((layout) => [
    layout.layout,
    layout.ranks,
    bytes(layout.weightBytesPerRank),
    exactBytes(layout.cacheBytesPerRank),
    bytes(layout.duplicatedWeightBytes),
    exactBytes(layout.duplicatedCacheBytes),
    bytes(layout.communicationBytesPerStep),
  ]);
  const table = columns(
    [
      "Layout",
      "ranks",
      "weights\n/rank",
      "cache\n/rank",
      "duplicated\nweights",
      "duplicated\ncache",
      "sent\n/rank/step",
    ],
    rows,
  );
  const notes = plan.layouts.flatMap(({ layout, notes }) =>
    notes.flatMap((note) => wrapNote(`${layout}: ${note}`, "  ")),
  );
  return [...table, ...notes];
}

/** Marks that the notes explain. */
function markOf({ measured, fits }: PlannedMachine): string {
  return `${measured ? " *" : ""}${fits === false ? " !" : ""}`;
}

function notes({ machines, notes }: Plan): string[] {
  const marks = [
    ...(machines.some(({ measured }) => measured)
      ? ["* measured on this machine; the others by their datasheets"]
      : []),
    ...(machines.some(({ fits }) => fits === false)
      ? ["! weights and cache do not fit there: the speed is as if they did"]
      : []),
  ];
  return [...marks, ...notes.map(toAscii)].flatMap((note) => wrapNote(note, "  "));
}

/** Several plans, a row each; speeds are those of the first machine that they share. */
export function comparisonTable(plans: readonly Plan[]): string {
  const [first] = plans;
  const machine = first!.machines[0]?.machine;
  const rows = plans.map((plan) => {
    const sorted = plan.cache
      .filter(({ dtype }) => dtype === plan.settings.cacheType)
      .toSorted((a, b) => a.bytes - b.bytes);
    const [least, most] = [sorted[0]!, sorted.at(-1)!];
    const on = plan.machines.find((entry) => entry.machine === machine);
    const longest = on?.longestContext.find(({ form, dtype }) => form === least.form && dtype === least.dtype);
    return [
      clip(toAscii(plan.model.name), 22),
      parametersText(plan.parameters.total),
      parametersText(plan.parameters.active),
      Number(least.valuesPerTokenPerLayer.toPrecision(5)),
      bytes(least.bytesPerToken),
      exactBytes(least.bytes),
      times(most.bytes, least.bytes),
      tokens(longest?.tokens),
      on?.prefill[0] ? time(on.prefill[0].seconds) : "–",
      on?.decode[0] ? compact(on.decode[0].tokensPerSecond) : "–",
    ];
  });
  const at = context(first!.settings.context);
  const heads = ["model", "total", "active", "values", "/token", `at ${at}`, "exp.", "fits", "prefill", "tok/s"];
  const legend = [
    "values: numbers in the cache per token and layer, in the smallest form; exp.: times that where keys and values are kept",
    ...(machine
      ? [`fits, prefill, tok/s: most tokens, prefill of ${at} and decode after ${at} on ${toAscii(machine)}`]
      : []),
  ];
  return `${[`Planned: ${settingsText(first!)}`, "", ...columns(heads, rows), "", ...legend.flatMap((line) => wrapNote(line, "  "))].join("\n")}\n`;
}
