// Everything that has to hold, in one command: types, lint and format, docs, tests, the build, the package, and the main job.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "biform-"));
const result = join(scratch, "smoke.json");
const page = join(scratch, "smoke.html");
const checkpoint = join(scratch, "smoke.gguf");

const smoke =
  "compare --data recall --variants MHA,MLA,GQA2-(192+64)-S2 --seeds 2 --steps 20 --width 32 --heads 4 --layers 1 --length 32 " +
  `--batch 4 --contexts 32 --json ${result} --html ${page} --state ${join(scratch, "runs")}`;

const steps: [name: string, command: string, args: string[]][] = [
  ["kernels", "node", ["scripts/kernels.ts"]],
  ["types", "tsc", []],
  ["lint and format", "biome", ["check"]],
  ["build", "tsc", ["-p", "tsconfig.build.json"]],
  ["package", "publint", ["--strict"]],
  ["docs", "node", ["scripts/docs.ts", "--check"]],
  ["a browser", "node", ["scripts/browser.ts"]],
  ["tests", "vitest", ["run"]],
  ["forms agree", "node", ["bin/biform.js", "verify", "MLA", "GQA2-128", "--width", "64", "--heads", "4"]],
  ["a plan", "node", ["bin/biform.js", "plan", "deepseek-r1", "--context", "160k", "--layout", "tp8,dp8"]],
  ["the page", "vite", ["build", "site", "--logLevel", "warn", "--outDir", join(scratch, "site")]],
  ["main job", "node", ["bin/biform.js", ...smoke.split(" ")]],
  // The published package has no sources: its own files must do the same.
  [
    "built library",
    "node",
    ["--input-type=module", "-e", `await import(${JSON.stringify(join(root, "dist", "index.js"))})`],
  ],
  ["built main job", "node", ["dist/cli/main.js", ...smoke.replaceAll("smoke.", "built.").split(" ")]],
  [
    "a checkpoint",
    "node",
    ["dist/cli/main.js", "make-model", checkpoint, "--preset", "deepseek3-moe", "--type", "Q4_K"],
  ],
  ["its text", "node", ["dist/cli/main.js", "run", checkpoint, "--prompt", "Once upon", "--max-tokens", "8"]],
];

const failed: string[] = [];
for (const [name, command, args] of steps) {
  const start = performance.now();
  console.log(`\n== ${name}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) failed.push(name);
  console.log(
    `== ${name}: ${status === 0 ? "ok" : `failed (${status})`}, ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
}

if (!failed.includes("main job")) {
  const { variants } = JSON.parse(readFileSync(result, "utf8"));
  if (variants.length !== 3 || !readFileSync(page, "utf8").includes("<svg")) failed.push("main job's result");
}
rmSync(scratch, { recursive: true, force: true });
for (const name of failed) console.error(`failed: ${name}`);
console.log(`${steps.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length ? 1 : 0;
