import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildModel } from "../../src/model/build.ts";
import { exportFresh } from "../../src/torch/export.ts";
import { runPython } from "./python.ts";

// flash-linear-attention's kernels need a GPU. What they would get is given to that package's own references in PyTorch.

const scratch = mkdtempSync(join(tmpdir(), "biform-torch-fla-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const specs = { kda: "KDA", gdn: "GDN", deltanet: "DeltaNet" } as const;

test("the kernels of flash-linear-attention are called as they want to be, and what they compute is the same function", {
  timeout: 1_800_000,
}, async () => {
  const dirs = Object.keys(specs).map((name) => join(scratch, `fla${name}`));
  for (const [i, spec] of Object.values(specs).entries())
    await exportFresh(buildModel(spec, { vocabulary: 64, width: 32, heads: 2, layers: 2 }), dirs[i]!, i + 1);
  const seen: Record<string, unknown>[] = [];
  for await (const line of runPython("delta_kernels.py", dirs)) {
    const {
      package: name,
      calls,
      found,
    } = JSON.parse(line) as {
      package: string;
      calls: Record<string, number>;
      found: Record<string, readonly [error: number, size: number]>;
    };
    seen.push({ name, ...calls });
    // Both are float32 in another order; a gradient of nearly nothing is held to what stands beside it.
    const wrong = Object.entries(found).filter(([, [error, size]]) => !(error <= 1e-4 * Math.max(size, 1e-2)));
    expect([name, wrong]).toEqual([name, []]);
    expect(Object.keys(found).length).toBeGreaterThan(10);
  }
  // Two layers, in two pieces and once over the whole.
  expect(seen).toEqual([
    { name: "flakda", kda: 6, gated_delta_rule: 0 },
    { name: "flagdn", kda: 0, gated_delta_rule: 6 },
    { name: "fladeltanet", kda: 0, gated_delta_rule: 6 },
  ]);
});
