/**
 * What may be said in words. Everything here follows from the numbers by a rule: a difference is called one only where
 * its paired interval leaves zero out, and what a run of this size cannot show stands beside what it shows.
 */
import { compact, decimals, loss, scientific } from "../draw/quantity.ts";
import { equalFindings, equalLimits } from "./equality.ts";
import { levelOf } from "./resolve.ts";
import type { Comparison, VariantResult } from "./result.ts";
import { exceeds, halfWidth, type Interval, pairedDifference } from "./statistics.ts";

/** A variant beside the best one: its loss minus the best's, and whether that exceeds its interval. */
export interface Standing {
  variant: VariantResult;
  difference: Interval;
  separated: boolean;
}

/** The variant of lowest mean loss (absent if all diverged) and every variant's standing against it, in given order. */
export interface Ranking {
  best: VariantResult | undefined;
  standings: Standing[];
}

/** The words at the top of a report: one sentence, what was found, what cannot be known from it. */
export interface Verdict {
  headline: string;
  findings: string[];
  limits: string[];
}

/** Places every variant against the one of lowest mean loss, by differences over the same seeds. */
export function rank({ variants, settings }: Comparison): Ranking {
  const level = levelOf(looksAt(settings));
  const finished = variants.filter(({ loss }) => loss.mean !== null);
  const best = finished.reduce<VariantResult | undefined>(
    (least, variant) => (least && least.loss.mean! <= variant.loss.mean! ? least : variant),
    undefined,
  );
  const standings = variants.map((variant) => {
    const difference = pairedDifference(variant.seeds, best?.seeds ?? [], level);
    return { variant, difference, separated: variant !== best && exceeds(difference) };
  });
  return { best, standings };
}

/** Times that the numbers were looked at while seeds were added: differences hold with 95 % over all of them. */
export function looksAt({ looks }: Comparison["settings"]): number {
  return typeof looks === "number" && Number.isInteger(looks) && looks >= 1 ? looks : 1;
}

/** The fastest entry at the longest context (or prompt) it was measured at; undefined if none was. */
export function fastest<T extends { tokensPerSecond: number }>(
  entries: readonly T[],
  length: (entry: T) => number,
): T | undefined {
  const longest = Math.max(...entries.map(length));
  return entries
    .filter((entry) => length(entry) === longest)
    .reduce<T | undefined>(
      (top, entry) => (top && top.tokensPerSecond >= entry.tokensPerSecond ? top : entry),
      undefined,
    );
}

/** "a", "a and b", "a, b and c". */
function joinNames(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** "by 0.031 ± 0.008" */
function by(difference: Interval, digits: number): string {
  const half = halfWidth(difference);
  return `by ${loss(Math.abs(difference.mean), digits)}${half === null ? "" : ` ± ${loss(half, digits)}`}`;
}

function headline(result: Comparison, { best, standings }: Ranking): string {
  if (result.variants.length < 2) return `Only ${result.variants[0]!.spec} was trained, so nothing is compared.`;
  if (!best) return "Every variant diverged: nothing can be ranked. Lower the learning rate and run again.";
  const others = standings.filter(({ variant }) => variant !== best && variant.loss.mean !== null);
  const apart = others.filter(({ separated }) => separated).map(({ variant }) => variant.spec);
  const tied = others.filter(({ separated }) => !separated).map(({ variant }) => variant.spec);
  const lowest = `${best.spec} reached the lowest held-out loss`;
  if (others.every(({ difference }) => difference.low === null))
    return `${lowest}, but with one common seed no difference can be told from noise.`;
  if (tied.length === 0) return `${lowest}, and every other variant is worse by more than the noise.`;
  if (apart.length === 0) return `${lowest}, but no difference between the variants is larger than the noise.`;
  return `${lowest}. ${joinNames(apart)} ${apart.length > 1 ? "are" : "is"} worse by more than the noise; ${joinNames(tied)} cannot be told from it.`;
}

function lossFindings({ best, standings }: Ranking): string[] {
  if (!best) return [];
  const others = standings
    .filter(({ variant, difference }) => variant !== best && Number.isFinite(difference.mean))
    .sort((a, b) => b.difference.mean - a.difference.mean);
  const digits = decimals(others.map(({ difference }) => halfWidth(difference)));
  const phrase = ({ variant, difference }: Standing) => `${variant.spec} ${by(difference, digits)}`;
  const apart = others.filter(({ separated }) => separated).map(phrase);
  const tied = others.filter(({ separated, difference }) => !separated && difference.low !== null).map(phrase);
  const found = [];
  if (apart.length > 0)
    found.push(`Larger than its interval: worse than ${best.spec} are ${joinNames(apart)} nats per token.`);
  if (tied.length > 0) found.push(`Inside its interval, so not shown to differ from ${best.spec}: ${joinNames(tied)}.`);
  return found;
}

function cacheFinding(result: Comparison, { best, standings }: Ranking): string[] {
  if (!best || result.variants.length < 2) return [];
  const candidates = standings.filter(({ variant, separated }) => variant.loss.mean !== null && !separated);
  const values = ({ variant }: Standing) => variant.cacheValuesPerTokenPerLayer;
  const least = Math.min(...candidates.map(values));
  const names = candidates.filter((standing) => values(standing) === least).map(({ variant }) => variant.spec);
  const first = result.variants[0]!;
  const ratio = first.cacheValuesPerTokenPerLayer / least;
  const against =
    names.includes(first.spec) || !Number.isFinite(ratio) || ratio === 1 ? "" : ratioText(ratio, first.spec);
  return [
    `Smallest cache among those not shown to be worse than the best: ${joinNames(names)}, ${compact(least)} values per token and layer${against}.`,
  ];
}

function ratioText(ratio: number, spec: string): string {
  return ratio > 1
    ? `, ${ratio.toFixed(1)} times less than ${spec}`
    : `, ${(1 / ratio).toFixed(1)} times more than ${spec}`;
}

function speedFindings({ variants }: Comparison): string[] {
  const tops = variants.flatMap(({ spec, decode }) => {
    const top = fastest(decode, ({ context }) => context);
    return top ? [{ spec, ...top }] : [];
  });
  const first = tops.reduce<(typeof tops)[number] | undefined>(
    (most, top) => (most && most.tokensPerSecond >= top.tokensPerSecond ? most : top),
    undefined,
  );
  if (!first) return [];
  const found = [
    `Fastest decode at ${first.context} cached tokens, on this machine: ${first.spec}, ${first.form} form, ${compact(first.tokensPerSecond)} tokens/s.`,
  ];
  for (const { spec, decode } of variants) {
    const said = formFinding(decode);
    if (said) found.push(`${spec} ${said}`);
  }
  return found;
}

/** Which of a variant's forms decodes faster at the longest context, by how much, and up to where another one does. */
function formFinding(decode: VariantResult["decode"]): string | undefined {
  const top = fastest(decode, ({ context }) => context);
  const others = decode.filter(({ form, context }) => context === top?.context && form !== top.form);
  if (!top || others.length === 0) return undefined;
  const other = others.reduce((least, entry) => (entry.tokensPerSecond < least.tokensPerSecond ? entry : least));
  const times = (top.tokensPerSecond / other.tokensPerSecond).toFixed(1);
  const leaders = [...Map.groupBy(decode, ({ context }) => context)].flatMap(([context, entries]) => {
    const leader = fastest(entries, () => 0);
    return leader && leader.form !== top.form ? [{ context, form: leader.form }] : [];
  });
  const last = leaders.sort((a, b) => a.context - b.context).at(-1);
  const turn = last ? `; at ${last.context} tokens its ${last.form} form is still the faster` : "";
  return `decodes ${times} times faster in its ${top.form} form than ${other.form} at ${top.context} tokens${turn}.`;
}

function limits(result: Comparison, { best, standings }: Ranking): string[] {
  const { variants } = result;
  const said: string[] = [];
  const seeds = Math.min(...variants.map(({ seeds }) => seeds.length));
  const pairs = variants.length - 1;
  if (seeds < 2) said.push("One seed has no interval: run at least three (--seeds 3) before believing any difference.");
  else if (pairs > 0)
    said.push(
      `Each interval holds with 95 % on its own, over ${seeds} seeds. With ${pairs} differences to the best, at least one stands out by chance in up to ${Math.min(100, 5 * pairs)} of 100 such runs, and the best is chosen by the same numbers it is judged by.`,
    );
  const looks = looksAt(result.settings);
  if (looks > 1)
    said.push(
      `Seeds were added while pairs were not told apart, up to ${looks} looks: intervals of differences are widened to hold with 95 % over all of them (Bonferroni).`,
    );
  const ratios = variants.flatMap(({ tokens, parameters }) => (tokens && parameters ? [tokens / parameters] : []));
  if (ratios.length > 0) {
    const most = Math.max(...ratios);
    if (most < 20)
      said.push(
        `At most ${compact(most)} training tokens per parameter, where models meant for use see 20 or more (Hoffmann et al. 2022), and models of ${compact(Math.max(...variants.map(({ parameters }) => parameters)))} parameters: an order found here may turn round at scale.`,
      );
  }
  said.push(
    "One text, one recipe and short contexts: quality at long context, after fine-tuning or on tasks is not measured.",
  );
  const kinds = kindsOf(result);
  if (kinds > 1)
    said.push(
      `Runs are of ${kinds} kinds of machines or engines: training speeds in the table are the median over all of them, and do not tell variants apart; equal time does, for each alone.`,
    );
  said.push("Speeds are this machine's; another one may favour another variant or form.", ...equalLimits(result));
  for (const { spec, unmatched } of variants) {
    if (unmatched && unmatched.length > 0) said.push(`${spec} could not be matched in full: ${unmatched.join("; ")}.`);
  }
  const failed = standings.filter(({ variant }) => variant.seeds.some(({ loss }) => loss === null));
  if (best && failed.length > 0)
    said.push(
      `Diverged on some seed and left out of the ranking: ${joinNames(failed.map(({ variant }) => variant.spec))}.`,
    );
  return said;
}

/** Machines and engines of collected runs, those that differ by nothing but a host's name and memory once. */
function kindsOf({ machine: { places } }: Comparison): number {
  if (!Array.isArray(places)) return 1;
  const aside = new Set(["host", "memoryBytes", "runs"]);
  const plain = (name: string, value: unknown) => (aside.has(name) ? undefined : value);
  return new Set(places.map((place) => JSON.stringify(place, plain))).size;
}

/** Words for a comparison: what differs by more than its interval, what does not, and what such a run cannot show. */
export function verdict(result: Comparison): Verdict {
  const ranking = rank(result);
  const proofs = (result.agreement ?? []).map(
    ({ spec, float64, float32 }) =>
      `${spec}: its forms are the same function here, apart by at most ${scientific(float64)} in float64 and ${scientific(float32)} in float32.`,
  );
  const findings = [
    ...lossFindings(ranking),
    ...equalFindings(result),
    ...cacheFinding(result, ranking),
    ...speedFindings(result),
    ...proofs,
  ];
  return { headline: headline(result, ranking), findings, limits: limits(result, ranking) };
}
