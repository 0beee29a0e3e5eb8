/**
 * Tries experiments on the engines that people have: Slurm where Debian's packages are installed, Ray and a server of S3's from PyPI, and Kubernetes'
 * published schemas. None of them is a dependency of Biform: what PyPI has is installed in interop/cluster/.venv first.
 */
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const here = join("interop", "cluster");
const age = (file: string) => statSync(join(root, here, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const run = (command: string) => spawnSync(command, { cwd: root, stdio: "inherit", shell: true }).status === 0;

/** Installs what is missing or older than what asks for it. */
function install(): boolean {
  if (age(".venv/installed") > age("requirements.txt")) return true;
  console.log("clusters: Ray, moto and Kubernetes' schemas are not installed, or in other versions; some minutes");
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
  console.error("clusters: Ray got not installed, expected Python 3.11 or newer to do it; nothing was tried");
  process.exitCode = 1;
} else if (
  !run("node scripts/kernels.ts") ||
  !run(`tsc -p ${here}`) ||
  !run(`vitest run --config ${here}/vitest.config.ts ${given}`)
)
  process.exitCode = 1;
