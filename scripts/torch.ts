/**
 * Runs and trains in PyTorch what Biform writes for it, beside Biform itself. PyTorch is no dependency: it is installed from PyPI in
 * interop/torch/.venv first, unless BIFORM_PYTHON names a Python that has it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const here = join("interop", "torch");
const age = (file: string) => statSync(join(root, here, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const run = (command: string) => spawnSync(command, { cwd: root, stdio: "inherit", shell: true }).status === 0;

/** Installs what is missing or older than what asks for it. */
function install(): boolean {
  if (process.env.BIFORM_PYTHON || age(".venv/installed") > age("requirements.txt")) return true;
  console.log("torch: PyTorch is not installed, or in another version; some minutes and gigabytes");
  const steps = [
    ...(existsSync(join(root, here, ".venv")) ? [] : [`python3 -m venv ${here}/.venv`]),
    `${here}/.venv/bin/python -m pip install --quiet --requirement ${here}/requirements.txt`,
  ];
  if (!steps.every(run)) return false;
  writeFileSync(join(root, here, ".venv/installed"), "");
  return true;
}

const given = process.argv.slice(2).join(" ");
if (!install()) {
  console.error("torch: PyTorch got not installed, expected Python 3.11 or newer to do it; nothing was tried");
  process.exitCode = 1;
} else if (
  !run("node scripts/kernels.ts") ||
  !run(`tsc -p ${here}`) ||
  !run(`vitest run --config ${here}/vitest.config.ts ${given}`)
)
  process.exitCode = 1;
