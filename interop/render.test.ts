// Python's transformers beside Biform's chat templates: render.py says what differs.
import { expect, test } from "vitest";
import { llamaTemplates } from "./calls.ts";
import { runPython } from "./serve.ts";

test("templates of all families render byte for byte as transformers renders them", async () => {
  const { stdout, status } = await runPython("render.py", llamaTemplates);
  expect(stdout).toMatch(/transformers 5\.23\.0, Jinja2 3\.1\.6: 1\d\d templates, \d{4} alike/);
  expect(stdout.split("\n").filter((line) => line.startsWith("DIFFERS"))).toEqual([]);
  expect(status).toBe(0);
});
