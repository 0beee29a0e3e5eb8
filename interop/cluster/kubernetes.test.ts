// Manifests beside Kubernetes' published schemas; no cluster runs them here, so that is all this says.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { manifestOf } from "../../src/cluster/kubernetes.ts";

const validator =
  process.env.BIFORM_KUBERNETES_VALIDATE ?? join(import.meta.dirname, ".venv", "bin", "kubernetes-validate");
const lacks = existsSync(validator) ? undefined : "no kubernetes-validate (npm run test:clusters installs it)";
if (lacks) console.log(`kubernetes.test.ts is skipped: ${lacks}`);

const task = { biform: ["biform"], file: "/shared/a study.json", where: "s3://runs/study", words: ["--threads", "4"] };
const dir = mkdtempSync(join(tmpdir(), "biform-kubernetes-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function validate(manifest: unknown) {
  const file = join(dir, "job.json");
  writeFileSync(file, JSON.stringify(manifest));
  return spawnSync(validator, ["--strict", file], { encoding: "utf8" });
}

test.skipIf(lacks).each([
  [{ image: "example/biform:1" }],
  [
    {
      image: "x",
      parallelism: "5",
      cpu: "4",
      memory: "8Gi",
      gpu: "1",
      claim: "data",
      mount: "/shared",
      secret: "keys",
      account: "runner",
    },
  ],
])("an Indexed Job is as the schemas say: %o", (options) => {
  const manifest = manifestOf(new Map(Object.entries(options)), task, 3, 17);
  const { status, stdout, stderr } = validate({
    ...manifest,
    metadata: { ...(manifest.metadata as object), name: "biform-x" },
  });
  expect([status, stdout + stderr]).toEqual([0, expect.any(String)]);
});

test.skipIf(lacks)("a manifest with a word of no schema is seen to be none", () => {
  const manifest = manifestOf(new Map([["image", "x"]]), task, 3, 17) as { spec: object };
  const wrong = { ...manifest, metadata: { name: "biform-x" }, spec: { ...manifest.spec, completionsMode: "Indexed" } };
  const { status, stdout, stderr } = validate(wrong);
  expect(status).not.toBe(0);
  expect(stdout + stderr).toMatch(/completionsMode/);
});
