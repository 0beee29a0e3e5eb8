// Writes the generated parts of the docs from the code; with --check says which are out of date and fails.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { variants } from "../src/attention/variants.ts";
import { formsText, variantRows } from "../src/cost/catalogue.ts";
import { comparisonSchema, parseComparison } from "../src/lab/result.ts";
import { exceeds, halfWidth, type Interval, pairedDifference } from "../src/lab/statistics.ts";
import { conformance } from "../src/plan/conformance.ts";
import { planJsonSchema } from "../src/plan/schema.ts";

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

/** Checks that the README's tree names every source file and op once, and nothing that is not there. */
function checkTree(text: string): void {
  const listed = new Set<string>();
  const path: string[] = [];
  for (const line of /```text\n(src\/[\s\S]*?)```/.exec(text)?.[1]?.split("\n") ?? []) {
    const match = /^( *)(\S+)(?: +(\S.*))?$/.exec(line);
    if (!match) continue;
    const [, indent, name, clause] = match;
    path.length = indent!.length / 2;
    path.push(name!.replace(/\/$/, ""));
    if (!name!.endsWith("/") || path[1] === "ops") {
      listed.add(path.join("/"));
      if (!clause && path.join("/") !== "src/ops")
        throw new Error(`README tree: ${path.join("/")} got no clause, expected what it is for`);
    }
  }
  const there = new Set<string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const at = `${folder}/${entry.name}`;
      if (entry.isDirectory() && folder !== "src/ops") visit(at);
      else if (entry.isDirectory()) there.add(at);
      else if (/(?<!\.as)\.ts$/.test(entry.name) && entry.name !== "binary.ts") there.add(at);
    }
  };
  visit("src");
  listed.delete("src/ops");
  const wrong = [...there].filter((f) => !listed.has(f)).concat([...listed].filter((f) => !there.has(f)));
  if (wrong.length) throw new Error(`README tree: got ${wrong.join(", ")} on one side only, expected the files of src`);
}

/** Every public name with its declaration, from the built types. */
function api(): string {
  const index = readFileSync(join(root, "dist", "index.d.ts"), "utf8");
  const lines: string[] = [];
  for (const [, names, module] of index.matchAll(/export (?:type )?\{([^}]*)\} from "(.*?)"/g)) {
    const text = readFileSync(join(root, "dist", module!.replace(/\.[jt]s$/, ".d.ts")), "utf8");
    for (const name of names!
      .split(",")
      .map((n) => n.replace("type ", "").trim())
      .filter(Boolean)) {
      const [own = name, given = own] = name.split(" as ");
      const declaration = new RegExp(
        `^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) ${own}\\b[\\s\\S]*?(?=^export |^/\\*\\*|^declare |^import |(?![\\s\\S]))`,
        "m",
      ).exec(text);
      if (!declaration) throw new Error(`api: got no declaration of ${name} in ${module}, expected one`);
      const bare = declaration[0]
        .replace(/\/\*\*[\s\S]*?\*\/\s*/g, "")
        .replace(/^\/\/#.*$/gm, "")
        .trim();
      lines.push(given === own ? bare : bare.replace(own, given));
    }
  }
  return `# Public API\n\nGenerated from the types; \`npm run docs\` writes it.\n\n\`\`\`ts\n${lines.sort().join("\n")}\n\`\`\`\n`;
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

/** What stands in the recall comparison for a variant whose name says sizes that its models do not have. */
const sameKind: Readonly<Record<string, string>> = {
  "MLA-DSA64": "MLA-DSA16",
  GTA4: "GTA2",
  "[KDA*3,MLA]": "[KDA,MLA]",
  "[KDA*3,GQA8-128]": "[KDA,GQA2-128]",
};

const blocks: Record<string, () => string> = { variants: variantTable, family: familyTable };
const readme = readFileSync(join(root, "README.md"), "utf8").replace(
  /(<!-- generated: (\w+) -->\n)[\s\S]*?(\n<!-- end -->)/g,
  (_, start, name, end) => start + blocks[name]!() + end,
);
checkTree(readme);
emit("README.md", readme);
emit("docs/api.md", api());
emit("conformance/kv-cache.json", `${JSON.stringify(conformance(), null, 2)}\n`);
emit("docs/comparison.schema.json", `${JSON.stringify(comparisonSchema(), null, 2)}\n`);
emit("docs/plan.schema.json", `${JSON.stringify(planJsonSchema(), null, 2)}\n`);
if (stale.length) {
  console.error(`docs: got old ${stale.join(", ")}, expected what the code says; run npm run docs`);
  process.exit(1);
}
