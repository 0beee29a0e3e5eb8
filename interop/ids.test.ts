// The Rust tokenizers beside Biform's: ids.py says what differs.
import { expect, test } from "vitest";
import { runPython } from "./serve.ts";

test("ids, prompts and texts are the Rust library's for every kind of part, or the file is refused", async () => {
  const { stdout, status } = await runPython("ids.py");
  expect(stdout).toMatch(/tokenizers 0\.23\.2: \d{3} files/);
  expect(stdout.split("\n").filter((line) => /^(DIFFERS|TAKEN)/.test(line))).toEqual([]);
  expect(status).toBe(0);
});
