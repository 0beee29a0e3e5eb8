import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { files, root } from "../scripts/imports.ts";

// The arguments of a kernel are numbers in a row; slot.ts (slab.ts, for a second kernel of one op) says which is which, to the
// host that writes them (wasm.ts) and to the kernel that reads them (*.as.ts).

const text = (file: string) => readFileSync(join(root, file), "utf8");
const kernels = files.filter((file) => file.endsWith(".as.ts"));
const hosts = files.filter((file) => /^ops\/\w+\/(\w+\/)?wasm\.ts$/.test(file));
const slots = files.filter((file) => /^ops\/\w+\/(slot|slab)\.ts$/.test(file));

/** Slots of `file` that these files name. */
function named(file: string, by: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const user of by) {
    const code = text(user);
    for (const [, space, path] of code.matchAll(/^import \* as (\w+) from "(\.[^"]+)"/gm)) {
      if (join(dirname(user), path!.replace(/\.ts$/, "")) !== file.replace(/\.ts$/, "")) continue;
      for (const [, name] of code.matchAll(new RegExp(`\\b${space}\\.([A-Z]\\w*)`, "g"))) found.add(name!);
    }
  }
  return found;
}

describe("arguments of kernels", () => {
  test("the slots are found", () => {
    expect(slots.length).toBeGreaterThan(20);
    expect(slots).toContain("ops/attend/slot.ts");
  });

  test.each(slots)("%s: no slot has two names, and none is left out", async (file) => {
    const values: Record<string, number> = await import(join(root, file));
    const names = [...text(file).matchAll(/^export const (\w+) = /gm)].map(([, name]) => name!);
    expect(names.toSorted()).toEqual(Object.keys(values).toSorted());
    // A 0 begins anew: a record within the arguments, or those of another kernel.
    const jumps = names.slice(1).filter((name, i) => ![0, values[names[i]!]! + 1].includes(values[name]!));
    expect(jumps).toEqual([]);
  });

  test.each(slots)("%s: the host writes what a kernel reads, and no more", (file) => {
    expect([...named(file, hosts)].toSorted()).toEqual([...named(file, kernels)].toSorted());
  });

  test("none is told by its number", () => {
    const bare = [...kernels, ...hosts].filter((file) =>
      /\b(whole|real|address|stride)\((args|call), *\d|\bargs(\[\d| \+ \(?\d|\.push\()|\bargs = \[/.test(text(file)),
    );
    expect(bare).toEqual([]);
  });
});
