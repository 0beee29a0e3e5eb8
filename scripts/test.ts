// Everything that has to hold, in one command: types, lint and format, docs, tests, the build, the package, and the main job.
// With --long the tests try all their cases, and those that take minutes: see test/extent.ts.
import { spawn } from "node:child_process";
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
  "compare --data recall --variants MHA,MLA,GQA2-(192+64)-S2 --seeds 2 --steps 8 --width 32 --heads 4 --layers 1 --length 32 " +
  `--batch 4 --contexts 32 --json ${result} --html ${page} --state ${join(scratch, "runs")}`;
const built = smoke
  .replaceAll("smoke.", "built.")
  .replace("/runs", "/built-runs")
  .replace("MHA,MLA,GQA2-(192+64)-S2", "MHA,MLA")
  .replace("--steps 8", "--steps 4");
const library = `await import(${JSON.stringify(join(root, "dist", "index.js"))})`;

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** What must have ended before. */
  readonly after?: readonly string[];
  /** It fills the machine by itself. */
  readonly alone?: true;
}

const long = process.argv.includes("--long");

/** Beside another step its own threads take longer in all: 16 s of processors become 24. */
const single = "--singleThreaded";

/** Two at a time, in this order as far as what they need allows. */
const steps: readonly Step[] = [
  { name: "kernels", command: "node", args: ["scripts/kernels.ts"] },
  { name: "a browser", command: "node", args: ["scripts/browser.ts"] },
  // Its types are those of the next step.
  { name: "build", command: "tsc", args: ["-p", "tsconfig.build.json", "--noCheck", single], after: ["kernels"] },
  { name: "types", command: "tsc", args: [single], after: ["kernels"] },
  { name: "lint and format", command: "biome", args: ["check"], after: ["kernels"] },
  { name: "package", command: "publint", args: ["--strict"], after: ["build"] },
  { name: "docs", command: "node", args: ["scripts/docs.ts", "--check"], after: ["build"] },
  {
    name: "forms agree",
    command: "node",
    args: ["bin/biform.js", "verify", "MLA", "GQA2-128", "--width", "64", "--heads", "4"],
    after: ["kernels"],
  },
  {
    name: "a plan",
    command: "node",
    args: ["bin/biform.js", "plan", "deepseek-r1", "--context", "160k", "--layout", "tp8,dp8"],
    after: ["kernels"],
  },
  { name: "main job", command: "node", args: ["bin/biform.js", ...smoke.split(" ")], after: ["kernels"] },
  // The published package has no sources: its own files must do the same, or less of it.
  { name: "built library", command: "node", args: ["--input-type=module", "-e", library], after: ["build"] },
  {
    name: "built main job",
    command: "node",
    args: ["dist/cli/main.js", ...built.split(" ")],
    after: ["build"],
  },
  {
    name: "a checkpoint",
    command: "node",
    args: ["dist/cli/main.js", "make-model", checkpoint, "--preset", "deepseek3-moe", "--type", "Q4_K"],
    after: ["build"],
  },
  {
    name: "its text",
    command: "node",
    args: ["dist/cli/main.js", "run", checkpoint, "--prompt", "Once upon", "--max-tokens", "8"],
    after: ["a checkpoint"],
  },
  { name: "tests", command: "vitest", args: ["run"], after: ["a browser", "build"], alone: true },
  ...(long
    ? [{ name: "parity", command: "node", args: ["scripts/parity.ts"], after: ["tests"], alone: true } as const]
    : []),
];

// The compiler, which is written in Go, collects its garbage less often: 13 s become 16 otherwise, and 1.1 GB of memory 0.9.
const env = { ...process.env, GOGC: process.env.GOGC ?? "400", ...(long ? { BIFORM_LONG: "1" } : {}) };
const failed: string[] = [];

/** Runs a step; what it prints stays together, except where it is alone. */
async function run({ name, command, args, alone }: Step): Promise<void> {
  const start = performance.now();
  if (alone) console.log(`\n== ${name}`);
  const child = spawn(command, args, { cwd: root, env, stdio: alone ? "inherit" : ["ignore", "pipe", "pipe"] });
  const printed: Buffer[] = [];
  child.stdout?.on("data", (data) => printed.push(data));
  child.stderr?.on("data", (data) => printed.push(data));
  const status = await new Promise((resolve) =>
    child.on("error", (error) => resolve(error.message)).on("close", resolve),
  );
  if (status !== 0) failed.push(name);
  if (!alone) console.log(`\n== ${name}\n${Buffer.concat(printed)}`.trimEnd());
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`== ${name}: ${status === 0 ? "ok" : `failed (${status})`}, ${seconds} s`);
}

const waiting = new Set(steps);
const running = new Map<Step, Promise<void>>();
while (waiting.size > 0 || running.size > 0) {
  const busy = [...waiting, ...running.keys()].map(({ name }) => name);
  for (const step of waiting) {
    const ready = !step.after?.some((name) => busy.includes(name));
    const alone = step.alone || [...running.keys()].some((other) => other.alone);
    if (!ready || running.size >= (alone ? 1 : 2)) continue;
    waiting.delete(step);
    running.set(
      step,
      run(step).finally(() => running.delete(step)),
    );
  }
  await Promise.race(running.values());
}

if (!failed.includes("main job")) {
  const { variants } = JSON.parse(readFileSync(result, "utf8"));
  if (variants.length !== 3 || !readFileSync(page, "utf8").includes("<svg")) failed.push("main job's result");
}
rmSync(scratch, { recursive: true, force: true });
for (const name of failed) console.error(`failed: ${name}`);
console.log(`${steps.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length ? 1 : 0;
