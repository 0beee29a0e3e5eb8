import { globSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../src");
const text = (file: string) => readFileSync(join(root, file), "utf8");

/** What a file gives by each name: the file that declares it, and the name that it has there. */
function given(file: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const [, list, from] of text(file).matchAll(/^export (?:type )?(\*|\{[^}]*\}) from "(.+?)";/gm)) {
    const target = normalize(join(file, "..", from!));
    if (list === "*") for (const [name, where] of given(target)) names.set(name, where);
    else
      for (const entry of list!.slice(1, -1).split(",")) {
        const [own = "", called = own] = entry
          .replace(/^\s*type\s+/, "")
          .trim()
          .split(/\s+as\s+/);
        if (own) names.set(called, given(target).get(own) ?? `${own} of ${target}`);
      }
  }
  const declared =
    /^export (?:declare )?(?:async )?(?:abstract )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm;
  for (const [, name] of text(file).matchAll(declared)) names.set(name!, `${name} of ${file}`);
  return names;
}

const [library, page] = [given("index.ts"), given("web.ts")];

test("the names of both entries are found where they are declared", () => {
  expect(library.get("attend")).toBe("attend of ops/attend/index.ts");
  expect(page.get("compact")).toBe("compact of draw/quantity.ts");
  expect(Math.min(library.size, page.size)).toBeGreaterThan(100);
  const files = new Set(globSync("**/*.ts", { cwd: root }));
  for (const where of [...library.values(), ...page.values()]) expect(files).toContain(where.split(" of ")[1]);
});

test("a public name means one thing: the same in `biform` and in `biform/web`", () => {
  const twice = [...page].filter(([name, where]) => library.has(name) && library.get(name) !== where);
  expect(twice).toEqual([]);
});

test("a public thing has one name, the one that it is declared by", () => {
  const renamed = [...library, ...page].filter(([name, where]) => !where.startsWith(`${name} of `));
  expect(renamed).toEqual([]);
});

test("there is one way to load a model: `load`, which knows the checkpoint's rooms", () => {
  expect(library.get("load")).toBe("load of generate/load.ts");
  expect([...library].filter(([, where]) => where.includes(" of checkpoint/"))).toEqual([]);
});
