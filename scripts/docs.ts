// Writes the generated parts of the docs from the code; with --check says which are out of date and fails.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { z } from "zod";
import { variants } from "../src/attention/variants.ts";
import { experimentSchema } from "../src/cluster/experiment.ts";
import { formsText, variantRows } from "../src/cost/catalogue.ts";
import { comparisonSchema, parseComparison } from "../src/lab/result.ts";
import { exceeds, halfWidth, type Interval, pairedDifference } from "../src/lab/statistics.ts";
import { conformance } from "../src/plan/conformance.ts";
import { differenceJsonSchema } from "../src/plan/difference.ts";
import { planJsonSchema } from "../src/plan/schema.ts";
import { servingSchema, servingText } from "../src/plan/serving.ts";
import { chatBody } from "../src/server/schema/chat.ts";
import { completionBody } from "../src/server/schema/completion.ts";
import { responseBody } from "../src/server/schema/response.ts";
import { apiText } from "./api.ts";
import { targetTable } from "./conversion/targets.ts";
import { folderOf, imports, order } from "./imports.ts";
import { launchTable } from "./launches.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");
const stale: string[] = [];

function emit(path: string, text: string): void {
  const file = join(root, path);
  let old = "";
  try {
    old = readFileSync(file, "utf8");
  } catch {}
  if (old === text) return;
  if (check) stale.push(path);
  else writeFileSync(file, text);
}

/** The table of variants, at the essay's width and number of heads. */
function variantTable(): string {
  const rows = variantRows(2048, 16).map((row) => {
    const { spec, parameters, cacheValues, stateValues, decodeBytes } = row;
    return `| \`${spec}\` | ${(parameters / 1e6).toFixed(2)} M | ${cacheValues} | ${stateValues} | ${(decodeBytes / 1024).toFixed(0)} KiB | ${formsText(row)} |`;
  });
  const files = variants.map(
    (v) =>
      `- **${v.name}** (${v.source}): ${Object.entries(v.forms)
        .map(([name, form]) => `\`${name}\` ${form.about}`)
        .join("; ")}. QK norm: ${v.qkNorm}.`,
  );
  return [
    "| spec | parameters per layer | cache, numbers per token and layer | state, numbers | decode reads at 4096 tokens | forms, FLOPs per query-key pair |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
    ...files,
  ].join("\n");
}

/** A table of the family's comparison on text and on associative recall, from the results kept. */
function familyTable(): string {
  const result = (name: string) =>
    parseComparison(JSON.parse(readFileSync(join(root, "results", `family-${name}.json`), "utf8")));
  const [text, recall] = [result("text"), result("recall")];
  // The recall models are half as deep and wide: their hybrids and groups are named for that size.
  const twin = (spec: string) =>
    recall.variants.find((v) => v.spec === (sameKind[spec] ?? spec)) ?? { loss: { mean: null, low: null, high: null } };
  type Told = { readonly [K in keyof Interval]: Interval[K] | null };
  const interval = (i: Told) => (i.mean === null ? "" : `${i.mean.toFixed(3)} ± ${halfWidth(i)!.toFixed(3)}`);
  const base = text.variants[0]!;
  const rows = text.variants.map((v) => {
    const gap = v === base ? undefined : pairedDifference(v.seeds, base.seeds);
    const told = gap && exceeds(gap) ? "" : ", inside the noise";
    return `| \`${v.spec}\` | ${v.cacheValuesPerTokenPerLayer} | ${Math.round((v.stateBytes ?? 0) / 4096)} | ${interval(v.loss)} | ${gap ? `${interval(gap)}${told}` : ""} | ${interval(twin(v.spec).loss)} |`;
  });
  return [
    `| variant | cache, numbers per token and layer | state of all layers, Ki numbers | text: nats per byte | minus ${base.spec}, paired | recall: nats per answer |`,
    "|---|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

/** A table of a task's comparison, from the results kept: right answers against what a row of its length keeps. */
function taskTable(name: string): string {
  const { variants, settings } = parseComparison(
    JSON.parse(readFileSync(join(root, "results", `${name}.json`), "utf8")),
  );
  const length = Number(settings.length);
  const rows = variants.map(({ spec, seeds, accuracy, versus, ...v }) => {
    const { mean, low, high } = accuracy!;
    const [from, to] = [Math.max(0, low!), Math.min(1, high!)].map((share) => (100 * share).toFixed(1));
    const solved = seeds.filter((seed) => seed.accuracy! >= 0.99).length;
    const gap = versus?.mean == null ? "" : `${versus.mean.toFixed(3)} ± ${halfWidth(versus)!.toFixed(3)}`;
    const told = !versus || exceeds(versus) ? "" : ", inside the noise";
    const kept = length * v.cacheBytes! + v.stateBytes!;
    return `| \`${spec}\` | ${v.cacheValuesPerTokenPerLayer} | ${kept} | ${(100 * mean!).toFixed(1)} (${from} to ${to}) | ${solved} of ${seeds.length} | ${gap}${told} |`;
  });
  return [
    `| variant | cache, numbers per token and layer | bytes after ${length} tokens, states included | right answers, % (95 %) | seeds with 99 % right | loss minus ${variants[0]!.spec}, paired |`,
    "|---|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

/** What stands in the recall comparison for a variant whose name says sizes that its models do not have. */
const sameKind: Readonly<Record<string, string>> = {
  "MLA-DSA64": "MLA-DSA16",
  GTA4: "GTA2",
  "[KDA*3,MLA]": "[KDA,MLA]",
  "[KDA*3,GQA8-128]": "[KDA,GQA2-128]",
};

/** The picture of imports between the folders of src as they are: an arrow from a folder to each it imports directly. */
function importPicture(): string {
  const below = new Map<string, Set<string>>();
  for (const [from, to] of imports.map((pair) => pair.map(folderOf) as [string, string])) {
    // A device takes its column of every op, which builds on devices: the one arrow that has a way back.
    if (from === to || from === "." || (from === "device" && to === "ops")) continue;
    below.set(from, (below.get(from) ?? new Set()).add(to));
  }
  const reaches = (from: string, to: string): boolean =>
    [...(below.get(from) ?? [])].some((next) => next === to || reaches(next, to));
  const arrows = [...below].flatMap(([from, all]) =>
    [...all]
      .filter((to) => ![...all].some((other) => other !== to && reaches(other, to)))
      .map((to) => `  ${from} --> ${to}`),
  );
  return ["```mermaid", "flowchart TD", ...arrows.toSorted(), "```", "", `    ${order.replace(" < .", "")}`].join("\n");
}

/** Every parameter of the server, and which endpoints take it. */
function parameterTable(): string {
  const endpoints = [chatBody, completionBody, responseBody].map(({ shape }): Record<string, z.ZodType> => shape);
  const names = [...new Set(endpoints.flatMap((shape) => Object.keys(shape)))];
  const rows = names.map((name) => {
    const said = endpoints.map((shape) => shape[name]?.description).filter((text) => text !== undefined);
    const marks = endpoints.map((shape) => (Object.hasOwn(shape, name) ? "x" : ""));
    return `| \`${name}\` | ${marks.join(" | ")} | ${[...new Set(said)].join("; in completions: ")} |`;
  });
  return ["| parameter | chat | completions | responses | |", "|---|---|---|---|---|", ...rows].join("\n");
}

const blocks: Record<string, () => string> = {
  variants: variantTable,
  family: familyTable,
  copying: () => taskTable("copying"),
  recall: () => taskTable("recall"),
  imports: importPicture,
  parameters: parameterTable,
  targets: targetTable,
  launches: launchTable,
};
const paths = "bench/README.md DESIGN.md docs/variants.md docs/results.md docs/serve.md docs/convert.md";
for (const path of paths.split(" ")) {
  const text = readFileSync(join(root, path), "utf8").replace(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(\n<!-- end -->)/g,
    (_, start, name, end) => start + blocks[name]!() + end,
  );
  emit(path, text);
}
emit("docs/api.md", apiText());
emit(
  "docs/serving.md",
  servingText(servingSchema.parse(JSON.parse(readFileSync(join(root, "conformance/serving.json"), "utf8"))).points),
);
emit("conformance/kv-cache.json", `${JSON.stringify(conformance(), null, 2)}\n`);
emit("docs/comparison.schema.json", `${JSON.stringify(comparisonSchema(), null, 2)}\n`);
emit("docs/experiment.schema.json", `${JSON.stringify(experimentSchema(), null, 2)}\n`);
emit("docs/plan.schema.json", `${JSON.stringify(planJsonSchema(), null, 2)}\n`);
emit("docs/difference.schema.json", `${JSON.stringify(differenceJsonSchema(), null, 2)}\n`);
if (stale.length) {
  console.error(`docs: got old ${stale.join(", ")}, expected what the code says; run npm run docs`);
  process.exit(1);
}
