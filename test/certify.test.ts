import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { Conversion } from "../src/convert/convert.ts";
import { writeConversion } from "../src/convert/write.ts";
import { certificateTable, certify } from "../src/verify/certify.ts";
import { askProgram } from "../src/verify/engine/program.ts";
import { askTransformers, askVllm } from "../src/verify/engine/python.ts";
import { biform } from "./fixture/command.ts";

let dir = "";
const path = (name: string) => join(dir, name);
const narrow = {
  ...presetConfig("llama", "tiny"),
  hidden_size: 64,
  intermediate_size: 96,
  head_dim: 16,
  num_attention_heads: 4,
  num_key_value_heads: 1,
};
const python = process.env.BIFORM_PYTHON;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-certified-"));
  await writeSampleFolder(path("llama"), narrow, { seed: 3, type: "F32" });
  process.env.BIFORM_PYTHON = path("nowhere");
});
afterAll(async () => {
  process.env.BIFORM_PYTHON = python ?? "python3";
  await rm(dir, { recursive: true, force: true });
});

/** A stand-in for an interpreter: it prints a line and ends with a code. */
async function speaker(name: string, line: string, code = 0): Promise<string> {
  await writeFile(
    path(name),
    `#!/bin/sh\necho "Loading weights" >&2\necho '${line}'\necho "ValueError: it is so" >&2\nexit ${code}\n`,
  );
  await chmod(path(name), 0o755);
  return path(name);
}

describe("a certificate", () => {
  test("holds what was written beside the original in every form, and names the engines that are not here", async () => {
    const wanted = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
    const conversion = await Conversion.open(path("llama"), { wanted });
    const { hindered } = await writeConversion(conversion, path("mla"), { also: path("mla.gguf") });
    expect(hindered).toBeUndefined();
    const certificate = await certify(path("llama"), [path("mla")], { tokens: 6 });
    const own = certificate.rows.filter(({ engine }) => engine === "Biform");
    expect(own.map(({ numbers, form }) => `${numbers} ${form}`)).toEqual([
      "float64 grouped",
      "float64 expanded",
      "float64 absorbed",
      "float32 expanded",
      "float32 absorbed",
    ]);
    for (const { difference, greedy, cache } of own) {
      expect(difference).toBeLessThan(4e-6);
      expect([greedy, cache]).toEqual([6, 128]);
    }
    const silent = certificate.rows.filter((row) => row.silent);
    expect(silent.map(({ engine }) => engine)).toEqual(["transformers", "vLLM"]);
    expect(silent[0]!.silent).toMatch(/ENOENT/);
    const table = certificateTable(certificate);
    expect(table).toMatch(/mla +Biform +float64 absorbed +\d\.\de-\d+ +6 of 6 +128 +deepseek_v3/);
    expect(table).toMatch(/vLLM on mla: .*ENOENT/);
  });

  test("holds a smaller one beside itself, and the original too", async () => {
    const wanted = { method: "transmla", selection: "high", balance: 1, context: 64, c: 6, r: 16 } as const;
    const conversion = await Conversion.open(path("llama"), { wanted });
    await writeConversion(conversion, path("small"), { also: path("small.gguf") });
    const certificate = await certify(path("llama"), [path("small"), path("small.gguf")], { tokens: 6, lossy: true });
    const [original, ...own] = certificate.rows.filter(({ engine }) => engine === "Biform");
    expect(original!.difference).toBeGreaterThan(1e-2);
    expect(own.map(({ of }) => of)).toEqual([...Array(4).fill(path("small")), ...Array(4).fill(path("small.gguf"))]);
    expect(own[0]!.difference).toBe(0);
    for (const { difference, greedy, cache } of own) {
      expect(difference).toBeLessThan(4e-6);
      expect([greedy, cache]).toEqual([6, 88]);
    }
    expect(certificateTable(certificate)).toMatch(/^Logits of 6 tokens beside small's in Biform/);
  });

  test("has its numbers whole on a terminal, whatever a checkpoint is called", () => {
    const of = path(`${"n".repeat(60)}.gguf`);
    const row = { engine: "transformers 5.24.0", of, numbers: "float64", form: "expanded", difference: 1e-7 };
    const rows = [{ ...row, greedy: 16, cache: 1393200, taken: "GGUF" }];
    expect(certificateTable({ original: of, beside: of, tokens: 16, rows })).toMatch(/1\.0e-7 +16 of 16 +1393200/);
  });

  test("shows what is another function", async () => {
    await writeSampleFolder(path("other"), narrow, { seed: 4, type: "F32" });
    const { rows } = await certify(path("llama"), [path("other")], { tokens: 6 });
    const [, other] = rows.filter(({ engine }) => engine === "Biform");
    expect(other!.difference).toBeGreaterThan(0.1);
    expect(other!.greedy).toBeLessThan(6);
    await writeSampleGguf(path("wide.gguf"), { ...narrow, vocab_size: 600 }, { seed: 4, type: "F32" });
    const wide = await certify(path("llama"), [path("wide.gguf")], { tokens: 6 });
    expect(wide.rows.find(({ of, engine }) => engine === "Biform" && of.endsWith("wide.gguf"))!.silent).toMatch(
      /it gives 3600 logits, not 3072/,
    );
  });
});

test("the card of a folder has what --test and --certify found", async () => {
  await writeFile(path("text.txt"), "the price of a latent is what it leaves out of keys and values. ".repeat(60));
  const words =
    "convert llama --to MLA --out carded --certify --test text.txt --test-tokens 64 --length 32 --threads 1";
  const { status, stdout } = await biform(dir, words.split(" "));
  expect(status).toBe(0);
  const card = await readFile(join(path("carded"), "README.md"), "utf8");
  const [, measured, certificate] = card.split(/^## .*$/m);
  expect(card).toMatch(/^## Measured\n\n```text\ntext\.txt: \d+ tokens in 2 sequences/m);
  expect(measured).toMatch(/^carded +\d.*\[/m);
  expect(certificate).toMatch(
    /^\| carded \| Biform \| float64 absorbed \| \d\.\de-\d+ \| 16 of 16 \| 128 \| deepseek_v3 \|$/m,
  );
  expect(certificate).toMatch(/^- transformers on carded: /m);
  expect(stdout).toMatch(/^carded +Biform +float64 absorbed +\d\.\de-\d+ +16 of 16 +128/m);
  expect(stdout).toMatch(/^transformers on carded: /m);
});

describe("another engine's program", () => {
  test("answers in its last line", async () => {
    const logits = Buffer.from(Float32Array.of(1, 2.5).buffer).toString("base64");
    const line = JSON.stringify({ version: "e 1", taken: "A", cache: 7, runs: [{ numbers: "float32", logits }] });
    process.env.BIFORM_PYTHON = await speaker("good", line);
    const answer = {
      version: "e 1",
      taken: "A",
      cache: 7,
      runs: [{ numbers: "float32", logits: Float64Array.of(1, 2.5) }],
    };
    expect(await askTransformers("x", [1])).toEqual(answer);
    expect(await askVllm("x")).toEqual(answer);
  });

  test.each([
    ["that ends without an answer", "nothing", 0, "ValueError: it is so"],
    ["that is cut off", '{"version": "1", "runs": [{"logits": "AAAA', 0, "its answer of 42 letters was cut off"],
    ["that fails", '{"version": "1"}', 3, "ValueError: it is so"],
  ])("%s is told by what it said last", async (_, line, code, silent) => {
    expect(await askProgram(await speaker(`bad-${line.length}`, line, code), [], undefined)).toEqual({ silent });
  });
});
