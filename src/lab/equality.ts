/** What is said of losses at equal FLOPs and at equal time, on a terminal, in a report and in words. */
import { columns } from "../draw/column.ts";
import { escapeHtml, grid, nameHtml } from "../draw/html.ts";
import { compact, decimals, loss, percent, time, withSign } from "../draw/quantity.ts";
import { toAscii, wrapNote } from "../draw/text.ts";
import type { Equal } from "./equal.ts";
import type { Comparison } from "./result.ts";
import { exceeds, halfWidth } from "./statistics.ts";

type Line = Equal["variants"][number];

/** Why a variant that is met before its last step is at a disadvantage. */
const caveat =
  "A variant that is met before its last step is met while its learning rate is still high, which is against it: " +
  "who wants to know trains it with as many steps as that time has.";

/** A block for a terminal, at most 100 columns: what is held equal, then a line for each variant. */
export function equalLines(equal: Equal): string[] {
  const heads = ["variant", "of its steps", "loss", `minus ${toAscii(equal.variants[0]!.spec)}`];
  return [
    ...wrapNote(toAscii(headingOf(equal)), "  "),
    ...columns(
      heads,
      equal.variants.map((line) => [toAscii(line.spec), percent(line.share), ...numbersOf(equal, line)]),
    ),
  ];
}

/** The same as a section of a report; nothing where nothing was held equal. */
export function equalHtml({ equal = [], variants }: Comparison): string {
  if (equal.length === 0) return "";
  const order = variants.map(({ spec }) => spec);
  const grids = equal.map((one) => {
    const rows = one.variants.map((line) => ({
      cells: [
        nameHtml(line.spec, order.indexOf(line.spec)),
        compact(Number(line.steps.toPrecision(4))),
        percent(line.share),
        ...numbersOf(one, line).map(escapeHtml),
      ],
    }));
    const heads = [
      "variant",
      "steps",
      "of all its<br>steps",
      "held-out loss",
      `minus<br>${escapeHtml(one.variants[0]!.spec)}`,
    ];
    return grid(headingOf(one), heads, rows);
  });
  const note = `Read off each run's curve of held-out losses, between two evaluations on a line. ~ marks a difference within its own interval. ${caveat}`;
  return `<div class="grid">${grids.join("")}</div><p class="soft">${escapeHtml(note)}</p>`;
}

/** A sentence for each machine: who is better and who worse than the first at equal time by more than the interval. */
export function equalFindings({ equal = [] }: Comparison): string[] {
  return equal
    .filter(({ unit }) => unit === "seconds")
    .map((one) => {
      const others = one.variants.slice(1).map((line) => `${line.spec} ${wordsOf(one, line)}`);
      return `At equal time on ${placeText(one.place)}, ${time(one.amount)} of training steps: beside ${one.variants[0]!.spec}, ${others.join("; ")}.`;
    });
}

/** The caveat of equal time, where some variant is met before its last step. */
export function equalLimits({ equal = [] }: Comparison): string[] {
  return equal.some(({ unit, variants }) => unit === "seconds" && variants.some(({ share }) => share < 0.99))
    ? [`Of equal time: ${caveat[0]!.toLowerCase()}${caveat.slice(1)}`]
    : [];
}

function headingOf({ unit, amount, variants, place }: Equal): string {
  const least = variants.find(({ share }) => share === 1)!.spec;
  return unit === "FLOPs"
    ? `At equal FLOPs: ${compact(amount)} each, what a run of ${least} takes`
    : `At equal time: ${time(amount)} of training steps, what a run of ${least} takes, on ${placeText(place)}`;
}

function numbersOf(equal: Equal, { loss: own, versus }: Line): string[] {
  const digits = decimals(equal.variants.map((line) => halfWidth(line.versus ?? line.loss)));
  const half = halfWidth(own);
  const value = own.mean === null ? "–" : `${loss(own.mean, 4)}${half === null ? "" : ` ± ${loss(half, 4)}`}`;
  if (!versus) return [value, ""];
  const range = halfWidth(versus);
  const difference =
    versus.mean === null
      ? "–"
      : `${exceeds(versus) ? "" : "~ "}${withSign(versus.mean, digits)}${range === null ? "" : ` ± ${loss(range, digits)}`}`;
  return [value, difference];
}

function wordsOf(equal: Equal, { versus }: Line): string {
  const digits = decimals(equal.variants.map((line) => halfWidth(line.versus ?? line.loss)));
  if (!versus || versus.mean === null) return "has no loss there";
  if (versus.low === null) return "cannot be told from it by one seed";
  if (!exceeds(versus)) return "cannot be told from it";
  return `is ${versus.mean < 0 ? "better" : "worse"} by ${loss(Math.abs(versus.mean), digits)} ± ${loss(halfWidth(versus)!, digits)}`;
}

/** A machine and an engine in a few words. */
function placeText(place: Equal["place"]): string {
  const { engine, cpu, device, processes, threads, how } = place ?? {};
  const parts = [
    engine,
    cpu,
    device === cpu ? undefined : device,
    typeof processes === "number" && processes > 1 ? `${processes} processes` : undefined,
    typeof threads === "number" ? `${threads} thread${threads === 1 ? "" : "s"}` : undefined,
    how === "plain" ? undefined : how,
  ];
  return parts.filter((part) => typeof part === "string" && part !== "").join(", ");
}
