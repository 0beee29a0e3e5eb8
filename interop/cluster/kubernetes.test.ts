// Manifests beside Kubernetes' published schemas; no cluster runs them here, so that is all this says.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { manifestOf } from "../../src/cluster/kubernetes.ts";

const validator = join(import.meta.dirname, ".venv", "bin", "kubernetes-validate");
const lacks = existsSync(validator) ? undefined : "no kubernetes-validate (npm run test:clusters installs it)";
if (lacks) console.log(`kubernetes.test.ts is skipped: ${lacks}`);

const task = { biform: ["biform"], file: "/shared/a study.json", where: "s3://runs/study", words: ["--threads", "4"] };
const validate = (manifest: unknown) =>
  spawnSync(validator, ["--strict", "-"], { input: JSON.stringify(manifest), encoding: "utf8" });

test
  .skipIf(lacks)
  .each([
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
  const { status } = validate({ ...manifest, spec: { ...manifest.spec, completionsMode: "Indexed" } });
  expect(status).not.toBe(0);
});
