/** Suites beside software from PyPI, which is no dependency: it is installed in a folder of its own first. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (command: string) => spawnSync(command, { cwd: root, stdio: "inherit", shell: true }).status === 0;

interface Suite {
  /** The suite's folder in interop/. */
  readonly name: string;
  /** What its requirements are, in words, and how long they take. */
  readonly asks: string;
  /** Where somebody has them already. */
  readonly given?: string | undefined;
}

/** Runs the tests of `interop/NAME`, or those that the command line names. */
export function runSuite({ name, asks, given }: Suite): void {
  const here = join("interop", name);
  if (!given && !install(name, here, asks)) {
    console.error(
      `${name}: its requirements got not installed, expected Python 3.11 or newer to do it; nothing was tried`,
    );
    process.exitCode = 1;
    return;
  }
  const tests = `vitest run --config ${here}/vitest.config.ts ${process.argv.slice(2).join(" ")}`;
  if (!["node scripts/kernels.ts", `tsc -p ${here}`, tests].every(run)) process.exitCode = 1;
}

/** Installs what is missing or older than what asks for it. */
function install(name: string, here: string, asks: string): boolean {
  const age = (file: string) => statSync(join(root, here, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (age(".venv/installed") > age("requirements.txt")) return true;
  console.log(`${name}: ${asks}`);
  const steps = [
    ...(existsSync(join(root, here, ".venv")) ? [] : [`python3 -m venv ${here}/.venv`]),
    `${here}/.venv/bin/python -m pip install --quiet --requirement ${here}/requirements.txt`,
  ];
  if (!steps.every(run)) return false;
  writeFileSync(join(root, here, ".venv/installed"), "");
  return true;
}
