import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { expect, test } from "vitest";
import { blobSource } from "../src/file/bytes.ts";

const root = join(import.meta.dirname, "..");
/** What a page plans with, and what it runs models with. */
const entries = ["src/web.ts", "src/run.ts"];
const entry = join(root, entries[0]!);

/** Packages that need Node, and the global objects of Node that a page lacks. */
const refused = /^(jsdom|listr2|commander|node-llama-cpp|playwright-core)(\/|$)/;

/** Imports that stay when types are gone, lazy ones too. */
function importsOf(text: string): string[] {
  const code = text.replaceAll(/^\s*(?:\/\/|\*|\/\*).*$/gm, "");
  const found = code.matchAll(
    /(?:^|\n)\s*(?:import|export)\s+(?!type\b)(?:[^;"'`]*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g,
  );
  return [...found].map(([, fixed, lazy]) => (fixed ?? lazy)!);
}

/** Every file of this project that a page loads with an entry, and what it imports. */
function reached(from: string): Map<string, string[]> {
  const files = new Map<string, string[]>();
  const visit = (file: string) => {
    if (files.has(file)) return;
    const imports = importsOf(readFileSync(file, "utf8"));
    files.set(file, imports);
    for (const path of imports) if (path.startsWith(".")) visit(join(dirname(file), path));
  };
  visit(from);
  return files;
}

test.each(entries)("nothing that a page loads with %s imports Node or a package that needs it", (from) => {
  const files = reached(join(root, from));
  expect([...files.keys()]).toContain(join(root, "src/attention/variant/mla.ts"));
  const wrong = [...files].flatMap(([file, imports]) =>
    imports.filter((path) => isBuiltin(path) || refused.test(path)).map((path) => `${relative(root, file)}: ${path}`),
  );
  expect(wrong).toEqual([]);
});

test("the walk sees what stands in a file", () => {
  const text = `import { a } from "node:fs";
import type { B } from "node:os";
import "jsdom";
export * from "./c.ts";
export {
  d,
} from "./d.ts";
const lazy = await import("node:path");
// import "node:net";`;
  expect(importsOf(text)).toEqual(["node:fs", "jsdom", "./c.ts", "./d.ts", "node:path"]);
});

test("it bundles for a browser, without Node and without the wasm kernels", async () => {
  const builtins = new Set<string>();
  const output = (await build({
    root,
    configFile: false,
    logLevel: "silent",
    plugins: [
      {
        name: "no-node",
        enforce: "pre",
        resolveId(path, from) {
          if (isBuiltin(path) || refused.test(path)) builtins.add(`${from}: ${path}`);
          return null;
        },
      },
    ],
    build: { write: false, minify: true, lib: { entry, formats: ["es"], fileName: "web" } },
  })) as Rolldown.RolldownOutput[];
  expect([...builtins]).toEqual([]);
  const chunks = output.flatMap(({ output }) => output).filter((file) => file.type === "chunk");
  const code = chunks.map((chunk) => chunk.code).join("\n");
  expect(code).not.toMatch(/["'`]node:/);
  expect(code).not.toContain("worker.js");
  const modules = chunks.flatMap((chunk) => chunk.moduleIds);
  expect(modules.filter((id) => /src\/device\/(binary|wasm|pool|worker)\.ts$/.test(id))).toEqual([]);
  console.log(
    `src/web.ts: ${(code.length / 1024).toFixed(0)} KiB, ${(gzipSync(code).length / 1024).toFixed(0)} KiB gzipped, ${modules.length} modules`,
  );
});

test("a Blob is read as the file it came from", async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  const source = blobSource("chosen.bin", new Blob([bytes]));
  expect(source.size).toBe(1000);
  const into = new Uint8Array(37);
  await source.read(963, into);
  expect(into).toEqual(bytes.subarray(963));
  await expect(source.read(964, into)).rejects.toThrow("chosen.bin: byte 964: got 36 bytes, expected 37");
  const gone = {
    size: 10,
    slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException("", "NotReadableError")) }),
  };
  await expect(blobSource("gone", gone as unknown as Blob).read(0, new Uint8Array(4))).rejects.toThrow(
    "gone: got NotReadableError while reading, expected the file as it was chosen; choose it again",
  );
});
