/**
 * Tries Biform's server with clients that people have, and its tokenizers and templates beside their originals. None of them is a
 * dependency of Biform: they stand in interop/, with a lockfile and pinned requirements of their own, and are installed there first.
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  console.log("interop: clients in Python and a model are not installed, or in other versions; a few minutes");
  const python = join("interop", ".venv", "bin", "python");
  const steps = [
    ...(existsSync(at(".venv")) ? [] : ["python3 -m venv interop/.venv"]),
    `${python} -m pip install --quiet --requirement interop/requirements.txt`,
    `${python} -m pip install --quiet --no-deps --requirement interop/models.txt`,
  ];
  if (!steps.every(run)) return false;
  writeFileSync(at(mark), "");
  return true;
}

const given = process.argv.slice(2).join(" ");
if (!install()) {
  console.error(
    "interop: clients got not installed, expected npm and Python 3.11 or newer to do it; nothing was tried",
  );
  process.exitCode = 1;
} else if (
  !run("node scripts/kernels.ts") ||
  !run("tsc -p interop") ||
  !run(`vitest run --config interop/vitest.config.ts ${given}`)
)
  process.exitCode = 1;
