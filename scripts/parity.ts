/**
 * Compares Biform's logits with llama.cpp's on the same files. llama.cpp's package is no dependency of Biform: it stands in
 * parity/, with a lockfile of its own, and is installed there first where it is not; with --install that is all.
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const age = (file: string) => statSync(join(root, "parity", file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const run = (command: string) => spawnSync(command, { cwd: root, stdio: "inherit", shell: true }).status === 0;

// What npm writes last into the folder that it has installed.
const installed = age("node_modules/.package-lock.json") > age("package-lock.json");
if (!installed) console.log("parity: llama.cpp is not installed, or in another version; npm ci --prefix parity");
if (!installed && !run("npm ci --prefix parity")) {
  console.error("parity: llama.cpp got not installed, expected npm ci --prefix parity to do it; nothing was compared");
  process.exitCode = 1;
} else if (
  !process.argv.includes("--install") &&
  (!run("node scripts/kernels.ts") || !run("vitest run --config parity/vitest.config.ts"))
)
  process.exitCode = 1;
