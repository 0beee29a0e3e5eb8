import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { layers } from "../scripts/imports.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

/** The one block of TypeScript in the README that has these words. */
function code(words: string): string {
  const found = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text!).filter((t) => t.includes(words));
  expect(found).toHaveLength(1);
  return found[0]!;
}

/** What programs print that import the library from its sources: each by itself, but in one process, which reads these once. */
function run(...programs: readonly string[]): string[] {
  const library = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
  const mark = "-- next --\n";
  const blocks = programs.map((program) => {
    const text = program.replace(/^import (\{.*?\}) from "biform";/m, `const $1 = await import(${library});`);
    expect(text).toContain("await import");
    return `{${text}}`;
  });
  const text = blocks.join(`\nprocess.stdout.write(${JSON.stringify(mark)});\n`);
  // As the command line does, it finds the sources as Node has read them once.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(root, "node_modules/.cache/biform") };
  const args = ["--input-type=module-typescript", "-e", text];
  return execFileSync(process.execPath, args, { encoding: "utf8", env }).split(mark);
}

test("the README is short", () => {
  expect(statSync(join(root, "README.md")).size).toBeLessThanOrEqual(12 * 1024);
});

test("the README's nine lines of MLA are its source's own", () => {
  const source = readFileSync(join(root, "src/attention/variant/mla.ts"), "utf8").split("\n");
  const trimmed = source.map((line) => line.trim());
  const lines = code("qc = einsum")
    .split("\n")
    .map((line) => line.trim());
  const quoted = lines.filter((line) => line && !line.startsWith("//"));
  expect(quoted).toHaveLength(9);
  let at = -1;
  for (const line of quoted) {
    const next = trimmed.indexOf(line, at + 1);
    expect(next, line).toBeGreaterThan(at);
    at = next;
  }
});

test("the README's examples run: two forms give one logit, and a checkpoint writes text", async () => {
  const dir = mkdtempSync(join(tmpdir(), "biform-readme-"));
  try {
    const file = join(dir, "model.gguf");
    await writeSampleGguf(file, presetConfig("deepseek2", "tiny"), { seed: 1, type: "F32" });
    const load = code("loaded.session").replace('"models/youtu-2b.gguf"', JSON.stringify(file));
    const [forms = "", out = ""] = run(code("buildModel"), load);
    const [expanded, absorbed] = forms
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    expect(expanded![0]).toBe("expanded");
    expect(Number(expanded![1])).toBeCloseTo(Number(absorbed![1]), 12);
    expect(expanded![2]).toBe(absorbed![2]);
    expect(expanded![3]).not.toBe(absorbed![3]);
    expect(out.length).toBeGreaterThan(40);
    expect(out).toMatch(/\d+ \{\s*prefill: \{ \w+: \d+ \},\s*decode: \{ \w+: \d+ \}\s*\}/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

describe("the README's tree", () => {
  const [, tree] = /```text\n(src\/[\s\S]*?)```/.exec(readme)!;
  const listed = tree!
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/)[0]!);
  const foldersOf = (path: string) =>
    readdirSync(join(root, path), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));

  test("has every folder of src, those that are built upon first", () => {
    const order = [...layers.flat()];
    const place = (folder: string) => order.indexOf(folder.replace("src/", ""));
    const inSrc = listed.filter((folder) => folder.startsWith("src/"));
    expect(inSrc.toSorted()).toEqual(foldersOf("src").toSorted());
    const placed = inSrc.filter((folder) => folder !== "src/data").map(place);
    expect(placed).toEqual(placed.toSorted((a, b) => a - b));
  });

  test("has every other folder that git keeps", () => {
    const kept = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n");
    const folders = new Set(kept.filter((file) => /^[^.].*\//.test(file)).map((file) => file.split("/")[0]!));
    expect(listed.filter((folder) => !folder.startsWith("src/")).toSorted()).toEqual(
      [...folders].filter((folder) => !["src", "bin"].includes(folder)).toSorted(),
    );
  });
});

test("the files and folders that a folder's README tells are there, each told once", () => {
  const wrong: string[] = [];
  for (const path of globSync("src/*/README.md", { cwd: root })) {
    const items = readFileSync(join(root, path), "utf8").matchAll(/^- `([\w/]+(?:\.ts|\/))`:/gm);
    const told = [...items].map(([, name]) => name!);
    const missing = told.filter((name) => !existsSync(join(root, dirname(path), name)));
    const twice = told.filter((name, i) => told.indexOf(name) !== i);
    wrong.push(...[...missing, ...twice].map((name) => `${path}: ${name}`));
  }
  expect(wrong).toEqual([]);
});

test("what documents link to is there, and files that they name are too", () => {
  const documents = ["*.md", "docs/*.md", "src/**/*.md", "{bench,parity,interop,conformance,findings}/*.md"];
  const missing: string[] = [];
  for (const path of globSync(documents, { cwd: root })) {
    // A log says how things were.
    if (["LOG.md", "CHANGELOG.md"].includes(path)) continue;
    const text = readFileSync(join(root, path), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => join(dirname(path), link!));
    const names = [...text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|md|json))`/g)].map(([, name]) => name!);
    const places = (name: string) => [name, join("src", name), join(dirname(path), name)];
    for (const link of links) if (!existsSync(join(root, link))) missing.push(`${path}: ${link}`);
    for (const name of names)
      if (!places(name).some((place) => existsSync(join(root, place)))) missing.push(`${path}: ${name}`);
  }
  expect(missing).toEqual([]);
});
