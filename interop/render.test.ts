// Python's transformers beside Biform's chat templates: render.py says what differs.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { llamaTemplates } from "./calls.ts";
import { python } from "./serve.ts";

test("templates of all families render byte for byte as transformers renders them", () => {
  const { stdout, status } = spawnSync(python, [join(import.meta.dirname, "render.py"), llamaTemplates], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  expect(stdout).toMatch(/transformers 5\.23\.0, Jinja2 3\.1\.6: 1\d\d templates, \d{4} alike/);
  expect(stdout.split("\n").filter((line) => line.startsWith("DIFFERS"))).toEqual([]);
  expect(status).toBe(0);
}, 600_000);
