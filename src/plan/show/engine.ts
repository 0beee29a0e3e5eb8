/** What engines keep, as lines and as HTML. */
import { columns } from "../../draw/column.ts";
import { escapeHtml, grid, stackLines } from "../../draw/html.ts";
import { bytes, context, exactBytes } from "../../draw/quantity.ts";
import { toAscii, wrap, wrapNote } from "../../draw/text.ts";
import type { Plan } from "../schema.ts";
import { extent, times } from "./table.ts";

/** Engines that keep as much as each other, those that keep least first. What they are compared with may be the plan's own cache. */
export function engineGroups({ engines, cache, settings }: Plan) {
  const own = cache.filter(({ dtype }) => dtype === settings.cacheType);
  const least = Math.min(...[...own, ...engines].map(({ bytes }) => bytes));
  const groups = Map.groupBy(engines, ({ valuesPerTokenPerLayer, fixedBytes, bytesPerToken, bytes }) =>
    [valuesPerTokenPerLayer, fixedBytes, bytesPerToken, bytes].join(" "),
  );
  return [...groups.values()]
    .map((members) => ({ ...members[0]!, members }))
    .toSorted((a, b) => a.bytes - b.bytes || a.valuesPerTokenPerLayer - b.valuesPerTokenPerLayer)
    .map(({ valuesPerTokenPerLayer: values, bytes, fixedBytes, bytesPerToken, members }) => ({
      values: Number(values.toPrecision(6)),
      bytes,
      line: lineText(fixedBytes, bytesPerToken),
      times: times(bytes, least),
      names: members.map(({ engine, version }) => `${engine} ${version}`).join("; "),
      members,
    }));
}

/** a + b S, in bytes: what does not grow, where there is some, and what a token adds. */
function lineText(fixed: number, perToken: number): string {
  if (perToken === 0) return bytes(fixed);
  return fixed === 0 ? `${bytes(perToken)} S` : `${bytes(fixed)} + ${bytes(perToken)} S`;
}

/** What engines keep, on a terminal; no lines where none is known. */
export function engineLines(plan: Plan): string[] {
  if (plan.engines.length === 0) return [];
  const groups = engineGroups(plan);
  // Of a hundred columns the numbers take 39 beside the line.
  const room = Math.min(44, 61 - Math.max(...groups.map(({ line }) => line.length)));
  const rows = groups.flatMap(({ values, line, bytes: size, times, names }) => {
    const [first, ...more] = wrap(toAscii(names), room);
    return [[values, line, exactBytes(size), times, first!], ...more.map((line) => ["", "", "", "", line])];
  });
  const heads = [
    "Values\n/token/layer",
    "bytes of\nS tokens",
    `bytes\nat ${extent(plan)}`,
    "times\nthe least",
    "are kept by",
  ];
  const compute = computeText(plan);
  return [...columns(heads, rows, [4]), ...(compute ? wrapNote(compute, "  ") : [])];
}

/** What engines take for computing beside what they keep, where that is known. */
function computeText({ engines }: Plan): string | undefined {
  const told = engines.filter(({ computeBytes }) => computeBytes !== undefined);
  const names = [...new Set(told.map(({ engine }) => engine))];
  return told[0] && `beside these ${names.join(", and ")} take at least ${bytes(told[0].computeBytes!)} for computing`;
}

/** What engines keep, with who says so; nothing where none is known. */
export function enginesGrid(plan: Plan): string {
  const rows = engineGroups(plan).flatMap(({ values, line, times, members }) =>
    members.map(({ engine, version, bytes: size, keeps, source }) => ({
      cells: [
        escapeHtml(engine),
        String(values),
        times,
        line,
        exactBytes(size),
        escapeHtml(version),
        stackLines(keeps, source),
      ],
    })),
  );
  if (rows.length === 0) return "";
  const heads = [
    "engine",
    "values<br>/token/layer",
    "times the<br>least",
    "bytes of<br>S tokens",
    "cache",
    "versions",
    "what it keeps, and who says so",
  ];
  const compute = computeText(plan);
  const beside = compute ? `<p class="soft">${escapeHtml(compute)}.</p>` : "";
  return grid(`What engines keep of ${context(plan.settings.context)} tokens`, heads, rows, [5, 6]) + beside;
}
