/** What differs between two plans, as a terminal shows it: only what differs, both values and how many times the first the second is. */

import { columns, joinBlocks } from "../../draw/column.ts";
import { compact, exactBytes, time } from "../../draw/quantity.ts";
import { clip, toAscii, wrap, wrapNote } from "../../draw/text.ts";
import type { Change, Difference } from "../difference.ts";
import type { Plan } from "../schema.ts";
import { parametersText, settingsText, tokens } from "./table.ts";

/** Columns that what is counted may take. */
const WIDTH = 52;

const heads: Readonly<Record<Change["part"], string>> = {
  sizes: "Sizes",
  parameters: "Parameters",
  weights: "Weights",
  cache: "Cache",
  engines: "Engines keep",
  work: "Work",
  machines: "Machines",
  layouts: "Layouts",
};

/** A difference as text of at most 100 columns; of what a plan counts in several types, that which was asked for. */
export function differenceTable(difference: Difference, plan: Plan): string {
  const { a, b, layers, changes } = difference;
  const parts = Object.keys(heads) as Change["part"][];
  const blocks = parts.map((part) =>
    changeLines(
      part,
      changes.filter((change) => change.asked && change.part === part),
    ),
  );
  const same = layers.length === 0 && blocks.every((lines) => lines.length === 0);
  return joinBlocks([
    [
      `A  ${clip(toAscii(a.name), 60)}; ${toAscii(a.architecture)}`,
      `B  ${clip(toAscii(b.name), 60)}; ${toAscii(b.architecture)}`,
      ...wrapNote(`planned   ${settingsText(plan)}`, "          "),
    ],
    layerLines(layers),
    ...blocks,
    wrapNote(same ? "nothing that a plan says differs" : "what is not listed is the same in both", "  "),
  ]);
}

function layerLines(layers: Difference["layers"]): string[] {
  if (layers.length === 0) return [];
  const rows = layers.flatMap(({ a, b, changed }) => {
    const names = [...new Set([a?.variant, b?.variant].flatMap((name) => name ?? []))].join(" -> ");
    const [first = "", ...more] = wrap(changed.map(changeText).join(", "), 60);
    return [
      [clip(toAscii(names), 24), a?.count ?? "–", b?.count ?? "–", first],
      ...more.map((line) => ["", "", "", line]),
    ];
  });
  return columns(["Layers", "A", "B", "of each"], rows, [3]);
}

function changeText({ what, a, b }: Difference["layers"][number]["changed"][number]): string {
  const name = toAscii(what.replace(/^sizes\./, "").replace(/^cache\./, "cache "));
  const text = (value: number | undefined) =>
    value === undefined ? "none" : value < 1e6 ? String(value) : compact(value);
  return `${name} ${text(a)} -> ${text(b)}`;
}

function changeLines(part: Change["part"], changes: readonly Change[]): string[] {
  if (changes.length === 0) return [];
  // What has the same two values has one row: of engines there are many.
  const groups = Map.groupBy(changes, ({ a, b, unit, what }) =>
    part === "engines" ? `${a} ${b} ${unit}` : what + unit,
  );
  const told = new Set<string>();
  const rows = [...groups.values()].flatMap((same) => {
    const { a, b, unit, ratio } = same[0]!;
    // The smallest form is one of the forms, and told first.
    if (part === "cache" && told.has(`${a} ${b} ${unit}`)) return [];
    told.add(`${a} ${b} ${unit}`);
    const [first = "", ...more] = wrap(toAscii(same.map(({ what }) => what).join("; ")), WIDTH);
    const times = ratio === undefined ? "–" : Number(ratio.toPrecision(3));
    return [[first, valueText(a, unit), valueText(b, unit), times], ...more.map((line) => [line, "", "", ""])];
  });
  return columns([heads[part], "A", "B", "B / A"], rows);
}

function valueText(value: number | null | undefined, unit: Change["unit"]): string {
  if (value === undefined) return "–";
  if (value === null) return "any";
  switch (unit) {
    case "bytes":
      return exactBytes(value);
    case "seconds":
      return time(value);
    case "parameters":
      return parametersText(value);
    case "tokens":
      return tokens(value);
    case "FLOPs":
      return compact(value);
    default:
      return String(Number(value.toPrecision(6)));
  }
}
