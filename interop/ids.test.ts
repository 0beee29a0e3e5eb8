// The Rust tokenizers beside Biform's: ids.py says what differs.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { python } from "./serve.ts";

test("ids, prompts and texts are the Rust library's for every kind of part, or the file is refused", () => {
  const { stdout, status } = spawnSync(python, [join(import.meta.dirname, "ids.py")], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  expect(stdout).toMatch(/tokenizers 0\.23\.2: \d{3} files/);
  expect(stdout.split("\n").filter((line) => /^(DIFFERS|TAKEN)/.test(line))).toEqual([]);
  expect(status).toBe(0);
}, 600_000);
