/** What a plan's answers follow from, for a terminal: every layer, every step, every engine. */

import { columns, joinBlocks } from "../../draw/column.ts";
import { bytes, compact, context } from "../../draw/quantity.ts";
import { clip, toAscii, wrap } from "../../draw/text.ts";
import type { Plan } from "../schema.ts";

/** What the answers follow from: layers, the work of a prefill and of a decoding step, and each engine's cache in words. */
export function detailTable(plan: Plan): string {
  return joinBlocks([layers(plan), costs(plan), engineDetails(plan)]);
}

/** What every engine keeps, in words, and the most tokens that it holds on the machine with the most memory. */
function engineDetails(plan: Plan): string[] {
  const sized = plan.machines.filter(({ memory }) => memory !== undefined);
  const largest = sized.toSorted((a, b) => b.memory! - a.memory!)[0]?.machine;
  const rows = plan.engines.flatMap(({ engine, version, valuesPerTokenPerLayer, keeps, longestContext }) => {
    const [first, ...more] = wrap(toAscii(`${version}: ${keeps}`), 44);
    const most = longestContext.find(({ machine }) => machine === largest)?.tokens;
    const tokens = most === undefined ? "-" : most === null ? "any" : compact(most);
    return [
      [clip(toAscii(engine), 26), Number(valuesPerTokenPerLayer.toPrecision(6)), tokens, first!],
      ...more.map((line) => ["", "", "", line]),
    ];
  });
  const heads = ["Engine", "values", `tokens on\n${largest ?? "no machine"}`, "keeps"];
  return rows.length ? columns(heads, rows, [3]) : [];
}

/** Letters and sizes of a layer: "d7168 h128 c512". */
export function sizesText(sizes: Plan["layers"][number]["sizes"]): string {
  return Object.entries(sizes)
    .map(([letter, size]) => `${letter}${size}`)
    .join(" ");
}

function layers(plan: Plan): string[] {
  return columns(
    ["Layers", "attention", "sizes", "parameters", "expanded", "absorbed", "state"],
    plan.layers.map(({ count, variant, sizes, window, parameters, cache, state }) => [
      count,
      toAscii(variant),
      `${sizesText(sizes)}${window ? ` window ${window}` : ""}`,
      compact(parameters),
      cache.expanded ?? "–",
      cache.absorbed ?? "–",
      state,
    ]),
    [1, 2],
  );
}

function costs(plan: Plan): string[] {
  return columns(
    ["Work", "kept as", "runs", "tokens", "FLOPs", "bytes moved", "FLOPs/byte"],
    plan.costs.map(({ phase, cached, form, context: at, flops, bytes: moved, intensity }) => [
      phase,
      cached,
      form,
      context(at),
      compact(flops),
      bytes(moved),
      Number(intensity.toPrecision(3)),
    ]),
    [1, 2],
  );
}
