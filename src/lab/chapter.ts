/** What a report on a comparison says, as HTML: words first, then pictures, then every fact. Made in a browser or on a server. */

import { escapeHtml, facts, figure, grid, nameHtml, section, stackLines } from "../draw/html.ts";
import {
  bytes,
  compact,
  context,
  decimals,
  duration,
  loss,
  percent,
  scientific,
  whole,
  withSign,
} from "../draw/quantity.ts";
import { equalHtml } from "./equality.ts";
import { differences, lossCurves } from "./picture.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { accuracyAgainstCache, lossAgainstCache } from "./scatter.ts";
import { halfWidth } from "./statistics.ts";
import { decodeTime, memoryAgainstContext } from "./tradeoff.ts";
import { fastest, rank, verdict } from "./verdict.ts";

/** Variants from which on a picture of all of them is broad. */
const MANY = 10;
const panel = 310;

function intervalText(value: { mean: number | null; low: number | null; high: number | null }, digits: number): string {
  const half = halfWidth(value);
  return `${loss(value.mean, digits)}${half === null ? "" : ` ± ${loss(half, digits)}`}`;
}

function overview(result: Comparison): string {
  const { best, standings } = rank(result);
  const digits = decimals(standings.map(({ difference }) => halfWidth(difference)));
  const rows = standings.map(({ variant, difference, separated }, index) => {
    const prefill = fastest(variant.prefill, ({ tokens }) => tokens);
    const decode = fastest(variant.decode, ({ context }) => context);
    const half = halfWidth(difference);
    const against = Number.isFinite(difference.mean)
      ? `${separated ? "" : "~ "}${withSign(difference.mean, digits)}${half === null ? "" : ` ± ${loss(half, digits)}`}`
      : "–";
    return {
      best: variant === best,
      cells: [
        nameHtml(variant.spec, index),
        compact(variant.parameters),
        stackLines(
          whole(variant.cacheValuesPerTokenPerLayer),
          variant.cacheBytes === undefined ? "" : `${bytes(variant.cacheBytes)}/token`,
        ),
        stackLines(intervalText(variant.loss, 4), besideLoss(variant)),
        variant === best ? "lowest" : against,
        compact(variant.trainFlops),
        stackLines(compact(variant.train.tokensPerSecond), share(variant)),
        prefill ? stackLines(compact(prefill.tokensPerSecond), `${prefill.form} @${context(prefill.tokens)}`) : "–",
        decode ? stackLines(compact(decode.tokensPerSecond), `${decode.form} @${context(decode.context)}`) : "–",
      ],
    };
  });
  const heads = [
    "variant",
    "parameters",
    "cache values<br>/token/layer",
    "held-out loss<br>nats/token",
    "minus the<br>lowest, paired",
    "training<br>FLOPs",
    "train<br>tok/s",
    "prefill<br>tok/s",
    "decode<br>tok/s",
  ];
  const note = `± is half of the 95 % interval. ~ marks a difference that lies within its own interval: not shown to differ. Prefill and decode are of the form that is fastest at the greatest length measured.`;
  return `${grid("All variants side by side", heads, rows)}<p class="soft">${note}</p>`;
}

/** The same loss as others count it, or of a task the share of right answers. */
function besideLoss({ bitsPerByte, accuracy }: VariantResult): string {
  if (bitsPerByte) return `${loss(bitsPerByte.mean, 3)} bits/byte`;
  return accuracy ? `${percent(accuracy.mean)} right` : "";
}

/** How much of a device training used, where its peak was given. */
function share({ train: { mfu } }: VariantResult): string {
  return mfu === undefined ? "" : `${percent(mfu)} MFU`;
}

function quality(result: Comparison, document: Document): string {
  const { best } = rank(result);
  const figures = [
    figure(
      document,
      "Loss against cache",
      "Lower left is better. Bars: 95 % interval of each mean. Runs are paired by seed, so two variants can differ although their bars overlap: the differences tell. Points of equal cache stand side by side.",
      (canvas) => lossAgainstCache(result, canvas),
      result.variants.length >= MANY,
    ),
    figure(
      document,
      "Right answers against cache",
      "Upper left is better. Bars: 95 % interval of each mean over the seeds, as far as shares go.",
      (canvas) => accuracyAgainstCache(result, canvas),
      result.variants.length >= MANY,
    ),
    figure(
      document,
      `Differences to ${best?.spec ?? "the best"}`,
      "Each seed's loss minus that of the variant of lowest loss under the same seed; mean and 95 % interval. Filled: the interval leaves zero out. Hollow: this run does not tell the two apart.",
      (canvas) => differences(result, canvas),
    ),
    figure(
      document,
      "Loss during training",
      "Mean over the seeds, with a band from the lowest seed to the highest. The steep beginning is cut off.",
      (canvas) => lossCurves(result, canvas),
    ),
    figure(
      document,
      `The same, minus ${result.variants[0]!.spec}`,
      "What the batches do to every variant alike cancels here, so small differences show.",
      (canvas) => lossCurves(result, canvas, "versusFirst"),
    ),
  ].join("");
  return figures === "" ? "" : `<div class="grid">${figures}</div>`;
}

function speed(result: Comparison, document: Document): string {
  const panels = result.variants.map(({ spec }, index) => {
    const svg = decodeTime(result, index, { document, width: panel });
    return svg ? `<figure><h3>${nameHtml(spec, index)}</h3>${svg.outerHTML}</figure>` : "";
  });
  if (panels.every((text) => text === "")) return "";
  const decode = result.variants.flatMap(({ spec, decode }, index) =>
    measuredRows(spec, index, decode, ({ context }) => context),
  );
  const prefill = result.variants.flatMap(({ spec, prefill }, index) =>
    measuredRows(spec, index, prefill, ({ tokens }) => tokens),
  );
  const numbers = `<details><summary>Prefill and decode in numbers</summary><div class="grid">${rates("Decode, tokens per second, by tokens in the cache", decode)}${rates("Prefill, tokens per second, by tokens of the prompt", prefill)}</div></details>`;
  return `<p class="soft">Milliseconds per token against tokens in the cache, both logarithmic, a line per form; in grey, the best form of each other variant.</p><div class="grid three">${panels.join("")}</div>${numbers}`;
}

interface RateRow {
  name: string;
  form: string;
  rates: Map<number, number>;
}

function measuredRows<T extends { form: string; tokensPerSecond: number }>(
  spec: string,
  index: number,
  entries: readonly T[],
  length: (entry: T) => number,
): RateRow[] {
  return [...Map.groupBy(entries, ({ form }) => form)].map(([form, own]) => ({
    name: nameHtml(spec, index),
    form,
    rates: new Map(own.map((entry) => [length(entry), entry.tokensPerSecond])),
  }));
}

function rates(caption: string, rows: readonly RateRow[]): string {
  const lengths = [...new Set(rows.flatMap(({ rates }) => [...rates.keys()]))].sort((a, b) => a - b);
  if (lengths.length === 0) return "";
  const cells = rows.map(({ name, form, rates }) => ({
    cells: [
      name,
      escapeHtml(form),
      ...lengths.map((length) => (rates.has(length) ? compact(rates.get(length)!) : "–")),
    ],
  }));
  return grid(caption, ["variant", "form", ...lengths.map(context)], cells);
}

function memory(result: Comparison, document: Document): string {
  const picture = figure(
    document,
    "Cache against context",
    "One sequence, all layers, both axes logarithmic. Lines that coincide are dashed in turn.",
    (canvas) => memoryAgainstContext(result, canvas),
  );
  if (picture === "") return "";
  const known = result.variants.map(({ memory }) => new Map(memory?.map(({ context, bytes }) => [context, bytes])));
  const contexts = [...new Set(known.flatMap((own) => [...own.keys()]))].sort((a, b) => a - b);
  const rows = result.variants.map(({ spec }, index) => ({
    cells: [nameHtml(spec, index), ...contexts.map((length) => sizeAt(known[index]!, length))],
  }));
  const numbers = grid("Cache of one sequence by tokens", ["variant", ...contexts.map(context)], rows);
  return `<div class="grid">${picture}<div>${numbers}</div></div>`;
}

function sizeAt(sizes: ReadonlyMap<number, number>, length: number): string {
  const size = sizes.get(length);
  return size === undefined ? "–" : bytes(size);
}

function proof({ agreement }: Comparison): string {
  if (!agreement || agreement.length === 0) return "";
  const rows = agreement.map(({ spec, forms, float64, float32, trials }) => ({
    cells: [
      escapeHtml(spec),
      escapeHtml(forms?.join(" = ") ?? "–"),
      scientific(float64),
      scientific(float32),
      trials === undefined ? "–" : whole(trials),
    ],
  }));
  const words =
    "The forms of one variant are the same function of the same weights. This is the largest difference between their outputs on this machine; it should be rounding only, about 1e-15 in float64 and 1e-6 in float32.";
  return `<p>${words}</p>${grid("Largest difference between forms", ["variant", "forms", "float64", "float32", "geometries"], rows)}`;
}

function samples({ variants }: Comparison): string {
  const blocks = variants.flatMap(({ spec, samples }, index) =>
    (samples ?? []).map(({ seed, prompt, text }) => {
      const told = [seed === undefined ? "" : `seed ${seed}`, prompt === undefined ? "" : `prompt “${prompt}”`].filter(
        (part) => part !== "",
      );
      return `<div><h3>${nameHtml(spec, index)}</h3><p class="soft">${escapeHtml(told.join(", "))}</p><pre>${escapeHtml(text)}</pre></div>`;
    }),
  );
  return blocks.length === 0 ? "" : `<div class="grid">${blocks.join("")}</div>`;
}

function sizes({ variants }: Comparison): string {
  const letters = [...new Set(variants.flatMap(({ dims }) => Object.keys(dims ?? {})))];
  const rows = variants.map((variant, index) => ({
    cells: [
      nameHtml(variant.spec, index),
      ...letters.map((letter) => String(variant.dims?.[letter] ?? "–")),
      variant.intermediate === undefined ? "–" : whole(variant.intermediate),
      whole(variant.parameters),
      variant.steps === undefined ? "–" : whole(variant.steps),
      variant.tokens === undefined ? "–" : whole(variant.tokens),
      compact(variant.trainFlops),
      escapeHtml(variant.seeds.map(({ seed, loss: value }) => `${seed}: ${loss(value, 4)}`).join(", ")),
    ],
  }));
  return grid(
    "Sizes by axis letter, budget and each seed's loss",
    ["variant", ...letters.map(escapeHtml), "MLP", "parameters", "steps", "tokens", "FLOPs", "loss by seed"],
    rows,
  );
}

/** The wall-clock of the run in words, where both ends are known. */
function timeText({ started, finished }: Comparison): string | undefined {
  const seconds = (Date.parse(finished ?? "") - Date.parse(started ?? "")) / 1000;
  return Number.isFinite(seconds) ? `took ${duration(seconds)}` : undefined;
}

function byline(result: Comparison): string {
  const { settings, machine, variants } = result;
  const seeds = Math.min(...variants.map((variant: VariantResult) => variant.seeds.length));
  const parts = [
    result.date ?? result.started?.slice(0, 10),
    settings.data,
    settings.steps === undefined ? undefined : `${settings.steps} steps`,
    `${seeds} ${seeds === 1 ? "seed" : "seeds"}`,
    settings.match === undefined ? undefined : `matched: ${settings.match}`,
    machine.cpu,
    machine.cores === undefined ? undefined : `${machine.cores} cores`,
    timeText(result),
  ];
  return escapeHtml(parts.filter((part) => part !== undefined).join(" · "));
}

/** The sections of a report on a comparison as HTML; pictures are drawn in `document`, a browser's own or one made on the server. */
export function chapters(result: Comparison, document: Document): string {
  const { headline, findings, limits } = verdict(result);
  const list = (items: readonly string[]) => `<ul>${items.map((item) => `<li>${escapeHtml(item)}</li>`).join("")}</ul>`;
  return [
    `<header><h1>${escapeHtml(heading(result))}</h1><p class="soft">${byline(result)}</p></header>`,
    `<section class="verdict" aria-label="Verdict"><p class="headline">${escapeHtml(headline)}</p>${list(findings)}<h2>What this run cannot show</h2>${list(limits)}</section>`,
    section("The numbers", overview(result)),
    section("At equal FLOPs, and at equal time", equalHtml(result)),
    section("Quality", quality(result, document)),
    section("Decode speed, measured on this machine", speed(result, document)),
    section("Memory", memory(result, document)),
    section("The forms are one function", proof(result)),
    section("What the models write", samples(result)),
    `<section><h2>How this was made</h2>${result.command === undefined ? "" : `<pre>${escapeHtml(result.command)}</pre>`}<details><summary>Every size, setting, version and machine fact</summary>${sizes(result)}<div class="grid three">${facts("Settings", result.settings)}${facts("Machine", result.machine)}${facts("Versions", { ...result.versions, started: result.started, finished: result.finished })}</div></details></section>`,
  ].join("\n");
}

/** What a report is called. */
export function heading({ variants }: Comparison): string {
  return `Attention compared: ${variants.map(({ spec }) => spec).join(", ")}`;
}
