import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defineAttention, formNames, paramsOf } from "../src/attention/define.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { mla } from "../src/attention/variant/mla.ts";
import { variants } from "../src/attention/variants.ts";
import { buildModel } from "../src/model/build.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { Kinds, pythonConfig } from "../src/torch/package.ts";
import { writeVariant } from "../src/torch/variant.ts";
import { share } from "./extent.ts";
import { seed } from "./law/check.ts";
import { cases } from "./law/geometry.ts";
import { subjectOf } from "./law/subject.ts";

// That what is written computes the same is known from PyTorch alone: interop/torch. Here is what needs none.

const host = { width: 64, heads: 4 };
const written = (spec: string) => writeVariant(parseSpec(spec, host)).text;

describe("every variant is written down, in all its forms and with all its features", () => {
  test.each(variants.map((variant) => [variant.name, variant] as const))("%s", (_, variant) => {
    for (const drawn of fc.sample(cases(variant), { seed, numRuns: share(200) })) {
      const { attention } = subjectOf(variant, drawn);
      const { text, className } = writeVariant(attention);
      expect(text).toContain(`class ${className}(Attention):`);
      for (const form of formNames(variant, drawn.sizes)) expect(text).toContain(`    def ${form}(self, `);
      // Each parameter does something, and so does each part of the cache.
      for (const [name] of paramsOf(variant, drawn.sizes)) expect(text).toMatch(new RegExp(`self\\.${name}\\b`));
      expect(text).not.toMatch(/undefined|NaN|\[object/);
      expect(writeVariant(attention).text).toBe(text);
    }
  });
});

test("MLA reads as a person would write it", () => {
  expect(written("MLA-QLoRA")).toBe(readFileSync(join(import.meta.dirname, "fixture/mla.py"), "utf8"));
});

test("means over ranks stay means where factors are not put together", () => {
  expect(written("TPA")).toContain(
    "return 1 / self.l * self.attend_factored(q, ak, bk, av, bv, scale=self.scale / self.k)",
  );
});

test("what is written follows from the definition alone, whatever the sizes", () => {
  expect(written("MLA")).toBe(writeVariant(parseSpec("MLA", { width: 96, heads: 3 })).text);
  expect(written("MHA")).toBe(written("GQA2-128"));
  const still = {
    ...mla,
    project: (...[p, x, at, z]: Parameters<typeof mla.project>) => {
      const { qr, kr, ...rest } = mla.project(p, x, at, z, undefined) as Record<string, never>;
      return { ...rest, qr: kr, kr: qr } as never;
    },
  };
  const attention = parseSpec("MLA", host);
  expect(writeVariant({ ...attention, variant: still }).text).not.toBe(writeVariant(attention).text);
});

test("a variant of tomorrow is written as those of today, and what has no words is refused", () => {
  const attention = parseSpec("MHA", host);
  const { variant } = attention;
  const halved = {
    ...variant,
    name: "Half",
    output: (...[p, o, at, z, parts]: Parameters<typeof variant.output>) =>
      variant.output(p, o, at, { ...z, bias: undefined }, parts),
  };
  expect(writeVariant({ ...attention, variant: halved }).text).toContain("class Half(Attention):");
  const odd = defineAttention({
    ...(variant as Parameters<typeof defineAttention>[0]),
    output: (p, o, at, z, parts) => {
      const y = variant.output(p, o, at, z, parts);
      return einsum(
        "t d, d e -> t e",
        y,
        tensor(
          y.device,
          [z.d, z.d],
          Float64Array.from({ length: z.d * z.d }, (_, i) => i),
        ),
      );
    },
  });
  expect(() => writeVariant({ ...attention, variant: odd })).toThrow(
    /constants of \[\d+,\d+\], which have no words in Python/,
  );
});

test("kinds that are written alike are one file, others of one name are numbered", () => {
  const kinds = new Kinds();
  const model = buildModel("[MLA,MLA-QLoRA,MHA,GQA2-128,KDA]", { vocabulary: 256, ...host, layers: 5 });
  const config = pythonConfig(model, kinds);
  expect((config.python as { kind: string }[]).map(({ kind }) => kind)).toEqual(["mla", "mla2", "gqa", "gqa", "kda"]);
  const names = kinds.files().map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(kinds.files().find(({ name }) => name === "kinds.py")!.text).toContain('"mla2": mla2');
});

test("Python compiles all of it, where there is one", () => {
  const kinds = new Kinds();
  for (const spec of [
    "MLA",
    "MHA",
    "GQA2-128-FoXPro",
    "TPA",
    "KDA-BoundedDecay",
    "MLA-DSA64",
    "MLA-SBA",
    "MFA-KR",
    "GQLA2",
  ])
    kinds.of(parseSpec(spec, host));
  const dir = mkdtempSync(join(tmpdir(), "biform-torch-"));
  try {
    const files = kinds.files();
    for (const { name, text } of files) writeFileSync(join(dir, name), text);
    const { error, status, stderr } = spawnSync(
      "python3",
      ["-m", "py_compile", ...files.map(({ name }) => join(dir, name))],
      { encoding: "utf8" },
    );
    // A machine without Python still has all the tests above.
    if (!error) expect([status, stderr]).toEqual([0, ""]);
    for (const { name, text } of files)
      expect([name, text.split("\n").filter((line) => line.length > 140)]).toEqual([name, []]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
