import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
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
