// Writes the generated parts of the docs from the code; with --check says which are out of date and fails.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { variants } from "../src/attention/variants.ts";
import { variantRows } from "../src/cli/variants.ts";

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
  const rows = variantRows(2048, 16).map(
    ({ spec, parameters, cacheValues, forms }) =>
      `| \`${spec}\` | ${(parameters / 1e6).toFixed(2)} M | ${cacheValues} | ${forms.map((f) => `${f.name} ${f.flopsPerPair}`).join(", ")} |`,
  );
  const files = variants.map(
    (v) =>
      `- **${v.name}** (${v.source}): ${Object.entries(v.forms)
        .map(([name, form]) => `\`${name}\` ${form.about}`)
        .join("; ")}.`,
  );
  return [
    "| spec | parameters per layer | cache, numbers per token and layer | forms, FLOPs per query-key pair |",
    "|---|---|---|---|",
    ...rows,
    "",
    ...files,
  ].join("\n");
}

/** Every source file with the first sentence of its first doc comment. */
function tree(): string {
  const lines: string[] = [];
  const visit = (folder: string, depth: number): void => {
    const entries = readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) =>
      a.name.localeCompare(b.name),
    );
    for (const entry of entries) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory() && folder === "src/ops") {
        // Every op folder holds the same files: index, reference, wasm, kernels.
        const clause = firstSentence(
          readFileSync(join(root, path, "index.ts"), "utf8").replace(/[\s\S]*?\nexport function/, (head) =>
            head.slice(head.lastIndexOf("/**")),
          ),
        );
        lines.push(`${"  ".repeat(depth)}${`${entry.name}/`.padEnd(26 - 2 * depth)} ${clause}`);
      } else if (entry.isDirectory()) {
        lines.push(`${"  ".repeat(depth)}${entry.name}/`);
        visit(path, depth + 1);
      } else if (/(?<!\.as)\.ts$/.test(entry.name) && entry.name !== "binary.ts") {
        const clause = firstSentence(readFileSync(join(root, path), "utf8"));
        if (!clause)
          throw new Error(`${path}: got no doc comment, expected one whose first sentence says what the file is`);
        lines.push(`${"  ".repeat(depth)}${entry.name.padEnd(Math.max(1, 26 - 2 * depth))} ${clause}`);
      }
    }
  };
  visit("src", 0);
  return `\`\`\`text\n${lines.join("\n")}\n\`\`\``;
}

function firstSentence(text: string): string | undefined {
  const block = /\/\*\*([\s\S]*?)\*\//.exec(text)?.[1];
  const line = /^\/\/ (.*)/m.exec(text)?.[1];
  const words = (block ?? line)
    ?.replace(/^\s*\* ?/gm, "")
    .replace(/\s+/g, " ")
    .trim();
  const sentence = words?.split(/(?<=[a-z0-9)`\]"])[.;:] /)[0]?.replace(/\.$/, "");
  return sentence && sentence.length > 110 ? `${sentence.slice(0, 107)}...` : sentence;
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
      const declaration = new RegExp(
        `^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) ${name}\\b[\\s\\S]*?(?=^export |^/\\*\\*|^declare |^import |(?![\\s\\S]))`,
        "m",
      ).exec(text);
      if (!declaration) throw new Error(`api: got no declaration of ${name} in ${module}, expected one`);
      const bare = declaration[0]
        .replace(/\/\*\*[\s\S]*?\*\/\s*/g, "")
        .replace(/^\/\/#.*$/gm, "")
        .trim();
      lines.push(bare);
    }
  }
  return `# Public API\n\nGenerated from the types; \`npm run docs\` writes it.\n\n\`\`\`ts\n${lines.sort().join("\n")}\n\`\`\`\n`;
}

const blocks: Record<string, () => string> = { variants: variantTable, tree };
const readme = readFileSync(join(root, "README.md"), "utf8").replace(
  /(<!-- generated: (\w+) -->\n)[\s\S]*?(\n<!-- end -->)/g,
  (_, start, name, end) => start + blocks[name]!() + end,
);
emit("README.md", readme);
emit("docs/api.md", api());
if (stale.length) {
  console.error(`docs: got old ${stale.join(", ")}, expected what the code says; run npm run docs`);
  process.exit(1);
}
