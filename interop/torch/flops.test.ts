import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildModel } from "../../src/model/build.ts";
import { forwardFlops } from "../../src/model/model.ts";
import { exportFresh } from "../../src/torch/export.ts";
import { runPython } from "./python.ts";

// MFU rests on Biform's FLOPs. PyTorch counts the products that it runs, of scores above the diagonal too, which Biform leaves out.

const scratch = mkdtempSync(join(tmpdir(), "biform-torch-flops-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("a forward pass has the FLOPs that PyTorch counts, less the half of the scores that nobody sees", {
  timeout: 1_800_000,
}, async () => {
  const tokens = 24;
  const models = ["MHA", "GQA2-128", "MLA", "MLA-QLoRA", "TPA", "[GQA2-128,MLA]"].map((spec) =>
    buildModel(spec, { vocabulary: 64, width: 32, heads: 2, layers: 2 }),
  );
  const dirs = models.map((_, i) => join(scratch, `flops${i}`));
  for (const [i, model] of models.entries()) await exportFresh(model, dirs[i]!, 1);
  const counted = new Map<string, number>();
  for await (const line of runPython(
    "flops.py",
    dirs.map((dir) => `${dir} ${tokens}`),
  )) {
    const { package: name, total } = JSON.parse(line) as { package: string; total: number };
    counted.set(name, total);
  }
  for (const [i, model] of models.entries()) {
    const unseen = tokens ** 2 - (tokens * (tokens + 1)) / 2;
    const scores = model.layers.map(({ attention: { sizes: z } }) => 2 * z.h * (z.e + z.v) * unseen);
    const more = scores.reduce((a, b) => a + b, 0);
    const name = basename(dirs[i]!);
    expect([name, counted.get(name)]).toEqual([name, forwardFlops(model, tokens) + more]);
  }
});
