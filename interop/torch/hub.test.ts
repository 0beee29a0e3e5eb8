import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { load } from "../../src/generate/load.ts";
import { buildModel } from "../../src/model/build.ts";
import { exportFresh, exportTrained } from "../../src/torch/export.ts";
import { compare } from "../../test/law/check.ts";
import { runPython } from "./python.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-torch-hub-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const specs = ["MLA-QLoRA", "[KDA,MLA]", "GQA2-128-FoXPro", "MLA-DSA16"];

test("transformers load what is written, write on over its caches, and save what Biform runs", {
  timeout: 1_800_000,
}, async () => {
  const dirs = specs.map((_, i) => join(scratch, `model${i}`));
  for (const [i, spec] of specs.entries())
    await exportFresh(
      buildModel(spec, { vocabulary: 256, width: 32, heads: 2, layers: 2, tied: i % 2 === 0 }),
      dirs[i]!,
      i + 1,
    );
  let i = 0;
  for await (const line of runPython("hub.py", dirs)) {
    const { written, whole, refused, logits } = JSON.parse(line);
    expect(written).toEqual(whole);
    expect(refused).toMatch(/attention_mask: got padding/);
    const again = `${dirs[i]}_saved`;
    const loaded = await load(again, { device: "reference" });
    const session = loaded.session();
    const rows: number[] = [];
    for (const id of [1, 2, 3, 4, 5]) rows.push(...(await session.logits(Int32Array.of(id)))!);
    const { error, size } = compare(logits, rows);
    expect([specs[i], error < 1e-4 * size]).toEqual([specs[i], true]);
    loaded.close();
    // And once more to Python: what was saved there is a checkpoint like any other.
    expect((await exportTrained(again, join(scratch, `again${i}`))).parameters).toBeGreaterThan(0);
    i++;
  }
  expect(i).toBe(specs.length);
});
