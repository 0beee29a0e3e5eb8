import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

test("the README's example runs, and its two forms give one logit", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!;
  const library = new URL("../src/index.ts", import.meta.url).href;
  const out = execFileSync(
    process.execPath,
    ["--input-type=module-typescript", "-e", code!.replace('"biform"', JSON.stringify(library))],
    {
      encoding: "utf8",
    },
  );
  const [expanded, absorbed] = out
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  expect(expanded![0]).toBe("expanded");
  expect(Number(expanded![1])).toBeCloseTo(Number(absorbed![1]), 12);
  expect(expanded![2]).toBe(absorbed![2]);
  expect(expanded![3]).not.toBe(absorbed![3]);
});

test("the README's checkpoint example writes text", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const code = readme.match(/```ts\n[\s\S]*?```/g)![1]!.replace(/^```ts|```$/g, "");
  const dir = mkdtempSync(join(tmpdir(), "biform-readme-"));
  try {
    const file = join(dir, "model.gguf");
    const program = new URL("../bin/biform.js", import.meta.url).pathname;
    execFileSync(process.execPath, [program, "make-model", file], { stdio: "ignore" });
    const library = new URL("../src/index.ts", import.meta.url).href;
    const text = code
      .replace('"biform"', JSON.stringify(library))
      .replace('"models/youtu-2b.gguf"', JSON.stringify(file));
    const out = execFileSync(process.execPath, ["--input-type=module-typescript", "-e", text], { encoding: "utf8" });
    expect(out.length).toBeGreaterThan(40);
    expect(out).toMatch(/\d+ \{\s*prefill: \{ \w+: \d+ \},\s*decode: \{ \w+: \d+ \}\s*\}/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
