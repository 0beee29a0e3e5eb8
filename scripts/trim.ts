// Deletes what npm unpacks and nothing here reads, after every install: 166 of 513 MB. DEPENDENCIES.md says what it is.
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
  // WebGPU for other platforms, 21 MB each.
  ...["darwin-universal", "linux-arm64", "linux-x64", "win32-arm64", "win32-x64"]
    .filter((name) => name !== `${process.platform}-${process.platform === "darwin" ? "universal" : process.arch}`)
    .map((name) => `webgpu/dist/${name}`),
  // Sources and CommonJS twins of libraries that are imported as modules, data of their tests, maps of their compiled code.
  "zod/src",
  "hono/dist/cjs",
  "bintrees/test",
  "**/*.{js,cjs,mjs,ts,cts,mts}.map",
];
for (const folder of globSync(unread, { cwd: modules })) rmSync(join(modules, folder), { recursive: true });
