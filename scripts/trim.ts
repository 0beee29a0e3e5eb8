// Deletes what npm unpacks and nothing here reads, after every install: 145 of 485 MB. DEPENDENCIES.md says what it is.
import { globSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
const unread = [
  // Binaryen's command-line programs, nine copies of it: the kernels' compiler loads index.js alone.
  "binaryen/bin",
  ".bin/wasm*",
  // C++ headers of Node 24, for native addons: none is built here.
  "node-*/include",
];
for (const folder of globSync(unread, { cwd: modules })) rmSync(join(modules, folder), { recursive: true });
