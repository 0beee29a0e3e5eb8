import { columns } from "../../draw/column.ts";
import { bytes, compact } from "../../draw/quantity.ts";
import { wrapNote } from "../../draw/text.ts";
import { type Match, matchFamily, parseTarget, targets } from "../../plan/match.ts";

/** What sizes are looked for. */
export interface Matching {
  readonly match: readonly string[];
  readonly width: number;
  readonly heads: number;
  /** Variants to size; all kinds there are where none is named. */
  readonly specs: readonly string[];
  readonly json: boolean;
}

/** `biform plan --match`: sizes of each variant that meet a cost. Throws ShapeError. */
export function showMatches({ match, width, heads, specs, json }: Matching): void {
  const found = match.map((text) => {
    const target = parseTarget(text);
    return { target, matches: matchFamily(target, { width, heads }, specs.length ? specs : undefined) };
  });
  if (json) {
    console.log(JSON.stringify({ width, heads, matches: found }, null, 2));
    return;
  }
  for (const { target, matches } of found) {
    console.log(
      `Sizes with at most ${target.value} ${targets[target.of]} in a layer of width ${width} with ${heads} heads\n`,
    );
    console.log(`${matchTable(matches).join("\n")}\n`);
  }
  console.log("Dims stand behind colons and are read with --dims exact; at 4096 tokens, 16-bit cache.");
}

/** A row per variant that can meet the target; below, why others cannot. */
function matchTable(matches: readonly Match[]): string[] {
  const rows = matches.flatMap((found) =>
    "reason" in found
      ? []
      : [
          [
            found.spec,
            found.cacheValues,
            compact(found.parameters),
            bytes(found.decodeBytes),
            `${Math.floor(100 * found.share)} %`,
            found.forms.map(({ flopsPerPair }) => compact(flopsPerPair)).join(" / "),
          ],
        ],
  );
  const others = matches.flatMap((found) =>
    "reason" in found ? wrapNote(`${found.spec}: ${found.reason}`, "  ") : [],
  );
  const heads = ["variant", "cache", "params", "decode", "met", "FLOPs/pair"];
  return [...(rows.length ? [...columns(heads, rows, [5]), ""] : []), ...others];
}
